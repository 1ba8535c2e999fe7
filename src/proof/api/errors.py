"""One table from what went wrong to what the caller is told."""

from dataclasses import replace

import msgspec
import structlog

from proof.api.http import Headers, Reply
from proof.api.notices import rate_headers
from proof.core.errors import (
    CallerError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotYetError,
    ProofError,
    QuotaExceededError,
    TooLargeError,
)
from proof.partners.anonymous import AnonymousRateError
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.rates import RateExceededError

# The first class that fits decides, so subclasses need no line of their own.
STATUSES: tuple[tuple[type[CallerError], int], ...] = (
    (MissingTokenError, 401),
    (InvalidTokenError, 401),
    (ScopeError, 403),
    (AddressNotAllowedError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (NotYetError, 425),
    (TooLargeError, 413),
    (QuotaExceededError, 429),
    (InvalidInputError, 400),
)

# Long enough that a waiting caller does not add to a flood, short enough not to be noticed.
_RETRY_NOT_YET_S = 1
_RETRY_QUOTA_S = 3600

# What has no error of its own.
_CODES = {404: NotFoundError.code, 405: "method_not_allowed"}

_log = structlog.get_logger()


def error_reply(error: Exception, request_id: str) -> Reply:
    """The answer for a failure. Ours are logged and told by their request id alone."""
    if isinstance(error, CallerError):
        for kind, status in STATUSES:
            if isinstance(error, kind):
                return _caller_reply(status, error)
    if isinstance(error, ProofError):
        _log.error("request.failed", request_id=request_id, code=error.code, error=error.message)
    else:
        _log.error("request.failed", request_id=request_id, exc_info=error)
    return message_reply(500, f"something failed on our side; it is logged as {request_id}")


def message_reply(status: int, message: str, *headers: tuple[bytes, bytes]) -> Reply:
    """The timestamp API's error body."""
    return Reply(
        status, msgspec.json.encode({"message": message}), headers=error_headers(status) + headers
    )


def _caller_reply(status: int, error: CallerError) -> Reply:
    if isinstance(error, AnonymousRateError):
        retry = (b"retry-after", b"%d" % error.retry_after_s)
        return replace(message_reply(status, error.message), headers=(retry,))
    if not isinstance(error, RateExceededError):
        return message_reply(status, error.message)
    retry = (b"retry-after", b"%d" % error.retry_after_s)
    reply = message_reply(status, error.message)
    return replace(reply, headers=(retry, *rate_headers(error.standing)))


def with_code(reply: Reply, error: Exception | None) -> Reply:
    """The error body of `/operator`: the message and the stable code of what went wrong."""
    code = error.code if isinstance(error, ProofError) else _CODES.get(reply.status)
    body = {**msgspec.json.decode(reply.body), "code": code or ProofError.code}
    return replace(reply, body=msgspec.json.encode(body))


def error_headers(status: int) -> Headers:
    """What every error of this status carries, in whichever form its body is."""
    match status:
        case 401:
            return ((b"www-authenticate", b"Bearer"),)
        case 413:
            # The rest of the body is not read, so the connection cannot be used again.
            return ((b"connection", b"close"),)
        case 425:
            return ((b"retry-after", b"%d" % _RETRY_NOT_YET_S),)
        case 429:
            return ((b"retry-after", b"%d" % _RETRY_QUOTA_S),)
        case _:
            return ()
