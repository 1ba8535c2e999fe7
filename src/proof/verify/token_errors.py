"""What a verifier refuses of RFC 3161 tokens: one class for each malformation."""

from proof.verify.errors import RefusedError


class DerError(RefusedError):
    """The bytes are not DER, or not of the type that stands here."""


class TokenFormatError(RefusedError):
    """The token is not CMS signed data of one signer over a TSTInfo."""


class TokenTimeError(RefusedError):
    """The token's time is not a GeneralizedTime in UTC, or its accuracy is none."""


class TokenExtensionError(RefusedError):
    """The token has a critical extension, which changes what it says in a way unknown here."""


class TokenImprintError(RefusedError):
    """The token is over something else than the root's 32 bytes."""


class TokenAttributeError(RefusedError):
    """A signed attribute is missing, doubled or malformed."""


class TokenDigestError(RefusedError):
    """The signed digest is of another TSTInfo than the one in the token."""


class TokenCertificateError(RefusedError):
    """The signer's certificate is missing, or may not sign such a token at such a time."""


class TokenKeyError(RefusedError):
    """The signer's key is malformed or too weak."""


class TokenSignatureError(RefusedError):
    """The token's signature is not the signer's."""
