"""The ramp's errors: a slug, a code and a message (ramp API contract, "Errors")."""

from dataclasses import replace
from typing import Annotated

import asyncpg
import msgspec
import structlog
from msgspec import Meta, Struct

from proof.api.errors import (
    MethodNotAllowedError,
    error_headers,
    error_reply,
    unavailable_message,
)
from proof.api.http import Headers, Reply
from proof.core.errors import (
    BusyError,
    CallerError,
    ConflictError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotAnObjectError,
    NotFoundError,
    ProofError,
    QuotaExceededError,
    TooLargeError,
    UnavailableError,
)
from proof.core.secrets import SealError
from proof.partners.errors import (
    AddressNotAllowedError,
    BrowserError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
    SuspendedError,
)
from proof.ramp.errors import (
    IdempotencyMismatchError,
    OfframpDisabledError,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
    WalletNotSupportedError,
)
from proof.ramp.sessions.errors import UnauthorisedError

# The first class that fits decides, so subclasses need no line of their own.
RAMP_STATUSES: tuple[tuple[type[ProofError], int, str], ...] = (
    (MissingTokenError, 401, "unauthorised"),
    (InvalidTokenError, 401, "unauthorised"),
    (UnauthorisedError, 401, "unauthorised"),
    (ScopeError, 403, "forbidden"),
    (SuspendedError, 403, "forbidden"),
    (BrowserError, 403, "forbidden"),
    (AddressNotAllowedError, 403, "forbidden"),
    (OfframpDisabledError, 403, "forbidden"),
    (NotFoundError, 404, "not_found"),
    (MethodNotAllowedError, 405, "invalid_request"),
    (ConflictError, 409, "conflict"),
    (TooLargeError, 413, "invalid_request"),
    (IdempotencyMismatchError, 422, "invalid_request"),
    (QuotaExceededError, 429, "rate_limited"),
    (WalletNotSupportedError, 400, "wallet_not_supported"),
    (InvalidInputError, 400, "invalid_request"),
    (CallerError, 400, "invalid_request"),
    (DatabaseUnavailableError, 503, "unavailable"),
    (BusyError, 503, "unavailable"),
    (ProviderUnavailableError, 502, "upstream_unavailable"),
    (ProviderAnswerError, 502, "upstream_unavailable"),
    (ProviderError, 502, "upstream_error"),
)


_CODES: dict[type[ProofError], str] = {NotAnObjectError: "decode_error"}


_log = structlog.get_logger()


class RampError(Struct):
    """Every error's body."""

    error: Annotated[str, Meta(description="the family of the error")]
    code: Annotated[str, Meta(description="what it is, for programs")]
    message: Annotated[str, Meta(description="what it is, for people; it may change")]


def ramp_error_reply(error: Exception, request_id: str) -> Reply:
    """The answer for a failure. Ours are logged and told by their request id, a provider's are both logged
    and told."""
    found = next((row for row in RAMP_STATUSES if isinstance(error, row[0])), None)
    if found is None or not isinstance(error, ProofError):
        return _ours(error, request_id)
    _, status, slug = found
    if isinstance(error, UnavailableError):
        base = error_reply(error, request_id)
        return replace(base, body=_body(slug, error.code, unavailable_message(error)))
    if status == 502:
        _log.warning("provider.failed", request_id=request_id, code=error.code, error=error.message)
    code = _CODES.get(type(error), error.code)
    return Reply(status, _body(slug, code, error.message), headers=error_headers(status, error))


def ramp_reply(status: int, slug: str, code: str, message: str, headers: Headers = ()) -> Reply:
    """The answer for what has no error of its own."""
    return Reply(status, _body(slug, code, message), headers=headers)


def _ours(error: Exception, request_id: str) -> Reply:
    reply = error_reply(error, request_id)
    message: str = msgspec.json.decode(reply.body)["message"]
    return replace(reply, body=_body(ProofError.code, _our_code(error), message))


def _our_code(error: Exception) -> str:
    if isinstance(error, asyncpg.PostgresError):
        return "db_error"
    return "token_error" if isinstance(error, SealError) else ProofError.code


def _body(slug: str, code: str, message: str) -> bytes:
    return msgspec.json.encode(RampError(slug, code, message))
