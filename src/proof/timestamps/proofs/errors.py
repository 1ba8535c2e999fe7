"""Why there is no proof to give."""

from proof.core.errors import InvalidInputError, NotFoundError, NotYetError, ProofError


class UnknownHashError(NotFoundError):
    """This owner never submitted that hash."""


class UnknownTreeError(NotFoundError):
    """No such tree holds a hash of this owner."""


class UnknownCurrencyError(InvalidInputError):
    """That chain is not enabled here."""


class ProofNotYetError(NotYetError):
    """The tree is not verified yet."""


class UnsoundProofError(ProofError):
    """A proof did not pass our own verifier, so it is not given out."""
