"""GET /events: what a partner missed while it was away."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from proof.api.http import Call, Reply
from proof.api.parameters import DIGITS_MAX, whole_number
from proof.api.services import Services
from proof.events import Family, ReadEvent, read_events
from proof.partners.types import CredentialKind
from proof.webhooks.signing import webhook_id

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000

_FAMILIES = {
    CredentialKind.CLIENT_TOKEN: Family.RAMP,
    CredentialKind.API_KEY: Family.TIMESTAMPS,
}
_encode = msgspec.json.Encoder().encode


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
        return Reply(200, _encode(EventPage([_entry(one) for one in found], following)))


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
