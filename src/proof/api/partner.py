"""What either kind of a partner's credentials may call: /events, /whoami."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from proof.api.forms import MESSAGE, RAMP
from proof.api.http import Call, Reply
from proof.api.operations import (
    Answer,
    Identification,
    Operation,
    OperationFamily,
    Parameter,
    PartnerCredential,
)
from proof.api.parameters import DIGITS_MAX, whole_number
from proof.api.services import Services
from proof.events import Family, ReadEvent, read_events
from proof.partners.access.gate import is_allowed
from proof.partners.access.networks import AllowlistMode
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind, Environment
from proof.webhooks.signing import webhook_id

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
_FAMILIES = {
    CredentialKind.CLIENT_TOKEN: Family.RAMP,
    CredentialKind.API_KEY: Family.TIMESTAMPS,
}
_MESSAGES_FOR_KEYS = {CredentialKind.API_KEY: MESSAGE}
# Until the credential is known, an error has the ramp's form: it has all that the timestamp API's has, so
# either kind of client can read it.
_EVENTS = OperationFamily(
    "events",
    PartnerCredential(None, CallClass.READ),
    RAMP,
    errors_by_kind=_MESSAGES_FOR_KEYS,
    gated_paths=True,
)
_CREDENTIALS = OperationFamily(
    "credentials", Identification(), RAMP, errors_by_kind=_MESSAGES_FOR_KEYS, gated_paths=True
)
_encode = msgspec.json.Encoder().encode
_CURSOR = Parameter(
    "after",
    "query",
    "`next` of the call before; 0 begins with the first event",
    {"type": "integer", "minimum": 0, "default": 0, "examples": [4217]},
    required=False,
)
_LIMIT = Parameter(
    "limit",
    "query",
    "how many at most; a page of large bodies may be shorter",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    required=False,
)


class WhoAmI(Struct):
    """`allowed`: the allowlist of this kind of token holds the address. With `allowlist_mode` report, an
    address that it does not hold is let in all the same."""

    partner_id: str
    environment: Environment
    kind: CredentialKind
    key_id: str
    address: str
    allowed: bool
    allowlist_mode: AllowlistMode
    suspended: bool


async def whoami(call: Call) -> Reply:
    """GET /whoami: any valid token of this environment, from any address."""
    credential = call.credential
    answer = WhoAmI(
        partner_id=credential.owner.partner_id,
        environment=credential.owner.environment,
        kind=credential.kind,
        key_id=credential.key_id,
        address=str(call.edge.address),
        allowed=is_allowed(credential, call.edge.address),
        allowlist_mode=credential.allowlist.mode,
        suspended=credential.owner.suspended,
    )
    return Reply(200, msgspec.json.encode(answer))


class EventEntry(Struct):
    """An event, the same that webhooks carry."""

    cursor: Annotated[int, Meta(description="its place among all events; grows, with gaps")]
    id: Annotated[str, Meta(description="the `webhook-id` of its webhook")]
    type: str
    version: Annotated[int, Meta(description="of the body's form")]
    subject: Annotated[str, Meta(description="the object it is about")]
    sequence: Annotated[
        int, Meta(description="its number among the object's events, from 1 without gaps")
    ]
    created_at: datetime
    body: Annotated[
        msgspec.Raw | None,
        Meta(description="the webhook's body, byte for byte; null once it is no longer kept"),
    ]


class EventPage(Struct):
    """Events in the order of their cursors."""

    events: list[EventEntry]
    next: Annotated[
        int, Meta(description="`after` of the next call, also when there are no events")
    ]


class EventHandlers:
    """The handler of the events."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, call: Call) -> Reply:
        """GET /events: ramp events for a `client_token`, timestamp events for an `api_key`."""
        after = whole_number(call.query, "after", 0, 0, 10**DIGITS_MAX - 1)
        limit = whole_number(call.query, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
        credential = call.credential
        async with self._services.database.connection() as connection:
            found = await read_events(
                connection, credential.owner.id, _FAMILIES[credential.kind], after, limit
            )
        following = found[-1].cursor if found else after
        return Reply(200, _encode(EventPage([_entry(event) for event in found], following)))


def _entry(event: ReadEvent) -> EventEntry:
    return EventEntry(
        event.cursor,
        webhook_id(event.id),
        event.type,
        event.version,
        event.subject,
        event.sequence,
        event.created_at,
        None if event.body is None else msgspec.Raw(event.body),
    )


def partner_routes(services: Services) -> list[Operation]:
    """Events, and the credential itself."""
    return [
        Operation(
            _EVENTS, "GET", "/events", EventHandlers(services).read, "Read events in their order",
            {200: Answer("events of the credential's kind after the cursor", EventPage)},
            parameters=(_CURSOR, _LIMIT),
        ),
        Operation(
            _CREDENTIALS, "GET", "/whoami", whoami, "What we make of you, and the address we see",
            {200: Answer("whose token it is, and whether its allowlist holds the address", WhoAmI)},
        ),
    ]  # fmt: skip
