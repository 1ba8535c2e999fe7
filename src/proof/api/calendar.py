"""/digest and /timestamp: the OpenTimestamps calendar, for anybody (calendar contract)."""

from dataclasses import replace

from proof.api.errors import error_reply
from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.core.errors import CallerError, NotFoundError
from proof.timestamps.calendar.service import Calendar

# What clients say a digest is, whatever it is.
DIGEST_TYPE = "application/x-www-form-urlencoded"
TIMESTAMP_TYPE = "application/vnd.opentimestamps.v1"
_TEXT = b"text/plain; charset=us-ascii"
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"accept, content-type, user-agent"),
)
_FRESH = ((b"cache-control", b"no-store"), *_CORS)
# Final once it is there; a block as deep as that does not go.
_KEPT = ((b"cache-control", b"public, max-age=86400"), *_CORS)


class CalendarHandlers:
    """The handlers of the calendar."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def digest(self, call: Call) -> Reply:
        """POST /digest. Clients accept 200 alone."""
        try:
            calendar = self._allowed(call)
            return _timestamp(await calendar.stamp(call.body), _FRESH)
        except CallerError as error:
            return _refusal(error, call)

    async def timestamp(self, call: Call) -> Reply:
        """GET /timestamp/{commitment}."""
        try:
            calendar = self._allowed(call)
            return _timestamp(await calendar.upgrade(call.path["commitment"]), _KEPT)
        except CallerError as error:
            return _refusal(error, call)

    async def preflight(self, _call: Call) -> Reply:
        """OPTIONS of both, for clients in browsers."""
        return Reply(204, b"", _TEXT, _CORS)

    def _allowed(self, call: Call) -> Calendar:
        calendar = self._services.calendar
        if calendar is None:
            raise NotFoundError("no calendar answers here; PROOF_CALENDAR_URL turns it on")
        self._services.anonymous_rates.take(call.edge.address)
        return calendar


def _timestamp(raw: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Reply:
    return Reply(200, raw, TIMESTAMP_TYPE.encode(), headers)


def _refusal(error: CallerError, call: Call) -> Reply:
    """The usual status and headers; clients show the text as it stands."""
    usual = error_reply(error, call.edge.request_id)
    text = error.message.encode("ascii", "replace")
    return replace(usual, body=text, content_type=_TEXT, headers=usual.headers + _FRESH)
