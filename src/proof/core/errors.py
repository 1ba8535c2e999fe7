"""The three families of failure: the caller's, the other side's, ours.

They know no HTTP; `proof.api.errors` maps them to statuses. A message of the first family is shown
to the caller and never holds a secret.
"""


class ProofError(Exception):
    """Any failure the platform states on purpose."""

    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(ProofError):
    """The caller's fault: shown as it stands, retrying the same call is useless."""


class InvalidInputError(CallerError):
    """A field, parameter or body is missing, mistyped or malformed; the message names it."""

    code = "validation_error"


class NotAnObjectError(InvalidInputError):
    """A body that is not JSON, or not an object."""


class NotFoundError(CallerError):
    """Nothing of this caller's answers to that name."""

    code = "not_found"


class ConflictError(CallerError):
    """What the caller wants to change is no longer as it saw it."""

    code = "conflict"


class NotYetError(CallerError):
    """It exists and will be available later; asking again makes sense in `retry_after_s` seconds."""

    code = "not_yet_available"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLargeError(CallerError):
    """A body is over its limit."""

    code = "body_too_large"


class QuotaExceededError(CallerError):
    """A limit set for this caller is reached."""

    code = "rate_limited"


class OtherSideError(ProofError):
    """Something we depend on failed; the same call may succeed later."""

    code = "upstream_unavailable"


class UnavailableError(OtherSideError):
    """Nothing is wrong with the call or with us, and nothing was done or nobody knows: the same call may
    succeed in a moment."""

    retry_after_s = 1


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL did not answer, or ended the connection."""

    code = "database_unavailable"


class BusyError(UnavailableError):
    """Others are at what this needs, or before it in the queue; nothing was done."""

    code = "busy"
