"""Why a widget is not opened, or goes no further (ramp API contract, "POST /widget/session")."""

from proof.core.errors import CallerError, ConflictError, InvalidInputError


class UnauthorisedError(CallerError):
    """What was presented opens no session."""

    code = "invalid_token"


class InitTokenUsedError(UnauthorisedError):
    """The init token was exchanged before; only the tab that did so goes on."""

    code = "init_token_used"

    def __init__(self) -> None:
        super().__init__(
            "init_token: the session was opened in another tab or browser; only that one goes on"
        )


class InitTokenExpiredError(UnauthorisedError):
    """Nobody exchanged the init token in time."""

    code = "init_token_expired"


class SessionTokenTakenError(InvalidInputError):
    """The tab's own token is that of another session."""

    code = "session_token_taken"

    def __init__(self) -> None:
        super().__init__("authorization: the token is another session's; make one for each session")


class SignatureInvalidError(InvalidInputError):
    """The signature is not ours over this session's parameters."""

    code = "signature_invalid"


class OptionsDifferError(InvalidInputError):
    """The host page passed something else than the session was opened with."""

    code = "options_differ"


class ParameterError(InvalidInputError):
    """A query or path parameter is missing or malformed."""

    code = "missing_param"


class NotPossibleNowError(ConflictError):
    """The session is at a step where this makes no sense."""

    code = "not_possible_now"
