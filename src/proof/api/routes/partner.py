"""The URLs that either kind of a partner's credentials may call: what happened, and who is asking."""

from proof.api.events import LIMIT_DEFAULT, LIMIT_MAX, EventHandlers, EventPage
from proof.api.operations import Answer, Operation, Parameter
from proof.api.services import Services
from proof.api.whoami import WhoAmI, whoami
from proof.partners.access.rates import CallClass

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


def partner_routes(services: Services) -> list[Operation]:
    """Events, and the credential itself."""
    return [
        Operation(
            "GET", "/events", EventHandlers(services).read, "Read events in their order",
            {200: Answer("events of the credential's kind after the cursor", EventPage)},
            tag="events", any_kind=True, call_class=CallClass.READ,
            parameters=(_CURSOR, _LIMIT), refuses=(400, 429),
        ),
        Operation(
            "GET", "/whoami", whoami, "What we make of you, and the address we see",
            {200: Answer("whose token it is, and whether its allowlist holds the address", WhoAmI)},
            tag="credentials", identifies=True,
        ),
    ]  # fmt: skip
