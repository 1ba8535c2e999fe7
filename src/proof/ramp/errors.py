"""What the ramp refuses, and what its providers fail at. The codes are those of the ramp API contract."""

from proof.core.errors import CallerError, ConflictError, InvalidInputError, OtherSideError


class CurrencyNotAllowedError(InvalidInputError):
    """The operator has not enabled this currency for the partner."""

    code = "currency_not_allowed"


class NetworkNotAllowedError(InvalidInputError):
    """The operator has not enabled this network for the partner."""

    code = "network_not_allowed"


class WalletNotSupportedError(InvalidInputError):
    """Currency and network are enabled, but there is no active wallet for the pair."""

    code = "WALLET_NOT_SUPPORTED"


class OfframpDisabledError(CallerError):
    """The operator has not enabled selling for the partner."""

    code = "offramp_disabled"


class IdempotencyInProgressError(ConflictError):
    """A request with the same idempotency key is still being answered."""

    code = "idempotency_in_progress"


class IdempotencyMismatchError(InvalidInputError):
    """The idempotency key was used before, with another body."""

    code = "idempotency_mismatch"


class ProviderError(OtherSideError):
    """A provider refused, or answered with an error of its own."""

    code = "provider_error"


class NoProviderError(ProviderError):
    """No provider account is set up where one is needed."""

    def __init__(self) -> None:
        super().__init__(
            "no payment provider is set up for this partner's production environment; the operator"
            " adds one with `proof provider add`"
        )


class ProviderUnavailableError(ProviderError):
    """A provider did not answer."""

    code = "upstream_unavailable"


class ProviderAnswerError(ProviderError):
    """A provider's answer is not what it documents."""

    code = "upstream_invalid_response"


class CallbackRefusedError(CallerError):
    """A callback that its provider did not sign, or that is not what the provider documents."""

    code = "callback_refused"
