"""One table from what went wrong to what the caller is told."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import structlog

from proof.api.http import Headers, Reply, rate_headers
from proof.core.errors import (
    BusyError,
    CallerError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotYetError,
    OtherSideError,
    ProofError,
    QuotaExceededError,
    TooLargeError,
    UnavailableError,
)
from proof.partners.access.anonymous import AnonymousRateError
from proof.partners.access.rates import ChangesExceededError, RateExceededError
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
    SuspendedError,
)


class MethodNotAllowedError(CallerError):
    """The path has no such method; `allowed` are those it has."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not allowed here; allowed: {self.allowed}")


# The first class that fits decides, so subclasses need no line of their own.
STATUSES: tuple[tuple[type[CallerError], int], ...] = (
    (MissingTokenError, 401),
    (InvalidTokenError, 401),
    (ScopeError, 403),
    (SuspendedError, 403),
    (AddressNotAllowedError, 403),
    (NotFoundError, 404),
    (MethodNotAllowedError, 405),
    (ConflictError, 409),
    (NotYetError, 425),
    (TooLargeError, 413),
    (QuotaExceededError, 429),
    (InvalidInputError, 400),
)

_RETRY_QUOTA_S = 3600

_log = structlog.get_logger()


def error_reply(error: Exception, request_id: str) -> Reply:
    """The answer for a failure. Ours are logged and told by their request id alone."""
    if isinstance(error, CallerError):
        for kind, status in STATUSES:
            if isinstance(error, kind):
                return replace(
                    message_reply(status, error.message), headers=error_headers(status, error)
                )
    if isinstance(error, UnavailableError):
        # A flood of calls that are refused as busy would flood the log as well.
        if not isinstance(error, BusyError):
            _log.warning(
                "request.unavailable", request_id=request_id, code=error.code, error=error.message
            )
        reply = message_reply(503, unavailable_message(error))
        return replace(reply, headers=error_headers(503, error))
    if isinstance(error, OtherSideError):
        _log.error("request.failed", request_id=request_id, code=error.code, error=error.message)
    else:
        _log.error("request.failed", request_id=request_id, exc_info=error)
    return message_reply(500, f"something failed on our side; it is logged as {request_id}")


def unavailable_message(error: UnavailableError) -> str:
    """What the caller is told; how our database fares is the operator's to know."""
    if isinstance(error, BusyError):
        return error.message
    return f"the database is away for a moment; try again in {error.retry_after_s} s"


def message_reply(status: int, message: str) -> Reply:
    """The timestamp API's error body."""
    return Reply(status, msgspec.json.encode({"message": message}))


def error_headers(status: int, error: ProofError) -> Headers:
    """What an error carries in its headers, in whichever form its body is."""
    match error:
        case MethodNotAllowedError():
            return ((b"allow", error.allowed.encode()),)
        case NotYetError() | AnonymousRateError() | ChangesExceededError() | UnavailableError():
            return (_retry_after(error.retry_after_s),)
        case RateExceededError():
            return (_retry_after(error.retry_after_s), *rate_headers(error.standing))
    match status:
        case 401:
            return ((b"www-authenticate", b"Bearer"),)
        case 413:
            # The rest of the body is not read, so the connection cannot be used again.
            return ((b"connection", b"close"),)
        case 429:
            return (_retry_after(_RETRY_QUOTA_S),)
    return ()


def _retry_after(seconds: int) -> tuple[bytes, bytes]:
    return (b"retry-after", b"%d" % seconds)
