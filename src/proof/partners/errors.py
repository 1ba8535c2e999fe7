"""Why the gate refuses."""

from proof.core.errors import CallerError, DatabaseUnavailableError


class MissingTokenError(CallerError):
    code = "missing_token"


class InvalidTokenError(CallerError):
    """Unknown, malformed, expired, revoked or of the other environment: one answer for all, because
    a caller without a valid token learns nothing."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("the credential is not valid here")


class ScopeError(CallerError):
    """A valid credential of the wrong kind."""

    code = "scope_missing"


class SuspendedError(CallerError):
    """A valid credential of a partner whom the operator suspended."""

    code = "partner_suspended"

    def __init__(self) -> None:
        super().__init__("this partner is suspended; ask the operator")


class BrowserError(CallerError):
    """A browser calls what only a partner's backend may: its page would have to hold the credential."""

    code = "forbidden_origin"


class AddressNotAllowedError(CallerError):
    """A valid credential from an address its allowlist does not hold; the message names the address."""

    code = "ip_not_allowed"


class DirectoryStaleError(DatabaseUnavailableError):
    """Credentials could not be re-read in time, so none is trusted."""

    def __init__(self, message: str = "credentials cannot be checked at the moment") -> None:
        super().__init__(message)
