"""Why there is no proof to give."""

from proof.core.errors import InvalidInputError, NotFoundError, NotYetError, ProofError


class UnknownHashError(NotFoundError):
    """This owner never submitted that hash."""


class UnknownTreeError(NotFoundError):
    """No such tree holds a hash of this owner."""


class NotInChainError(NotFoundError):
    """The hash came before that chain was enabled; the message points to the log's proof."""


class UnknownCurrencyError(InvalidInputError):
    """That chain is not enabled here."""


class ProofNotYetError(NotYetError):
    """The tree is not verified yet."""


class UnsoundProofError(ProofError):
    """A proof did not pass our own verifier, so it is not given out."""
