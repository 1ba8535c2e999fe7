"""/digest and /timestamp: the OpenTimestamps calendar, for anybody (calendar contract)."""

from proof.api.forms import TEXT
from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.core.errors import NotFoundError
from proof.timestamps.calendar import Calendar

# The media type that clients send a digest with, though it is no form.
DIGEST_TYPE = "application/x-www-form-urlencoded"

TIMESTAMP_TYPE = "application/vnd.opentimestamps.v1"

_FRESH = ((b"cache-control", b"no-store"),)

# A timestamp is final once it is given: a block that deep is not replaced.
_KEPT = ((b"cache-control", b"public, max-age=86400"),)


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
