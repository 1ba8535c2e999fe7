"""/digest and /timestamp: the OpenTimestamps calendar, for anybody (calendar contract)."""

from dataclasses import replace

from proof.api.forms import PLAIN_TEXT, TEXT
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily, Parameter
from proof.api.services import Services
from proof.core.errors import NotFoundError
from proof.partners.types import Environment
from proof.timestamps.calendar import MAX_COMMITMENT_BYTES, Calendar

# The media type that clients send a digest with, though it is no form.
DIGEST_TYPE = "application/x-www-form-urlencoded"

TIMESTAMP_TYPE = "application/vnd.opentimestamps.v1"

_FRESH = ((b"cache-control", b"no-store"),)

# A timestamp is final once it is given: a block that deep is not replaced.
_KEPT = ((b"cache-control", b"public, max-age=86400"),)

# A page of any site may ask the calendar.
_ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"accept, content-type, user-agent"),
)

_CALENDAR = OperationFamily(
    "calendar",
    Anybody(),
    PLAIN_TEXT,
    environments=(Environment.PRODUCTION,),
    headers=_ANY_ORIGIN,
    body_limit=MAX_COMMITMENT_BYTES,
)

_PREFLIGHTS = replace(_CALENDAR, listed=False)

_COMMITMENT = Parameter(
    "commitment",
    "path",
    "hex of the message at the pending attestation, or of what was posted",
    {"type": "string", "pattern": "^[0-9a-fA-F]{2,128}$"},
)


class CalendarHandlers:
    """The handlers of the calendar."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def digest(self, call: Call) -> Reply:
        """POST /digest. Clients accept 200 alone."""
        return _timestamp(await self._enabled().stamp(call.body), _FRESH)

    async def timestamp(self, call: Call) -> Reply:
        """GET /timestamp/{commitment}."""
        return _timestamp(await self._enabled().upgrade(call.path["commitment"]), _KEPT)

    async def preflight(self, _call: Call) -> Reply:
        """OPTIONS of both, for clients in browsers."""
        return Reply(204, b"", TEXT)

    def _enabled(self) -> Calendar:
        calendar = self._services.calendar
        if calendar is None:
            raise NotFoundError("no calendar answers here; PROOF_CALENDAR_URL turns it on")
        return calendar


def _timestamp(raw: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Reply:
    return Reply(200, raw, TIMESTAMP_TYPE.encode(), headers)


def calendar_routes(services: Services) -> list[Operation]:
    calendar = CalendarHandlers(services)
    return [
        Operation(
            _CALENDAR, "POST", "/digest", calendar.digest, "Stamp a commitment of 1 to 64 bytes",
            {200: Answer("a serialized timestamp that is pending", content_type=TIMESTAMP_TYPE)},
            raw_body=DIGEST_TYPE, refuses=(404,),
        ),
        Operation(
            _CALENDAR, "GET", "/timestamp/{commitment}", calendar.timestamp,
            "Upgrade a pending timestamp",
            {200: Answer("a serialized timestamp up to a Bitcoin block", content_type=TIMESTAMP_TYPE)},
            parameters=(_COMMITMENT,), refuses=(404,),
        ),
        *(
            Operation(
                _PREFLIGHTS, "OPTIONS", path, calendar.preflight,
                "May a page of another site call it: it may", {204: Answer("CORS headers")},
                parameters=parameters,
            )
            for path, parameters in (("/digest", ()), ("/timestamp/{commitment}", (_COMMITMENT,)))
        ),
    ]  # fmt: skip
