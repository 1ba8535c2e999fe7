"""The certificate and key that tokens are signed with."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from proof.core.errors import ProofError
from proof.timestamps.tsa import der

# What Go's encoding/asn1 holds of an object identifier's parts, and so cosign's and many others'.
MAX_ARC = 2**31 - 1
_RSA_BITS = 2048
_ECDSA_SHA256 = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))
_RSA_SHA256 = der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.tlv(der.NULL))

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class AuthorityError(ProofError):
    """The certificate or the key cannot be used for time-stamping; the message says why."""

    code = "tsa_unusable"


class PolicyError(AuthorityError):
    """The policy cannot stand in tokens that everybody reads."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs. `chain` holds DER certificates, the signer's first; `issuer` is its encoded name."""

    key: Key = field(repr=False)
    chain: tuple[bytes, ...]
    issuer: bytes
    serial_number: int
    certificate_sha256: bytes
    valid_until: datetime
    policy: str
    accuracy_ms: int

    @property
    def signature_algorithm(self) -> bytes:
        """The AlgorithmIdentifier of its signatures."""
        return _RSA_SHA256 if isinstance(self.key, rsa.RSAPrivateKey) else _ECDSA_SHA256

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 as DER, or RSA PKCS #1 v1.5 with SHA-256."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


def load_authority(chain_pem: bytes, key_pem: bytes, policy: str, accuracy_ms: int) -> Authority:
    """An authority from a PEM chain, the signer's certificate first, and its PEM key.

    Raises PolicyError, or AuthorityError: unreadable, not belonging together, another kind of key than
    P-256 or RSA of 2048 bits or more, or a certificate that RFC 3161, 2.3 does not let sign tokens.
    """
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise AuthorityError(f"the time-stamping certificate or key: {error}") from None
    _require_readable(policy)
    signer = chain[0]
    if not isinstance(key, Key) or not _is_strong(key):
        raise AuthorityError("the time-stamping key is neither P-256 nor RSA of 2048 bits or more")
    if _public_bytes(signer.public_key()) != _public_bytes(key.public_key()):
        raise AuthorityError("the time-stamping key is not the one the first certificate names")
    _require_purpose(signer)
    encoded = tuple(certificate.public_bytes(serialization.Encoding.DER) for certificate in chain)
    return Authority(
        key,
        encoded,
        signer.issuer.public_bytes(),
        signer.serial_number,
        hashlib.sha256(encoded[0]).digest(),
        signer.not_valid_after_utc,
        policy,
        accuracy_ms,
    )


def _require_readable(policy: str) -> None:
    """Raises PolicyError for what is no object identifier, or one that some clients cannot hold."""
    try:
        der.object_identifier(policy)
    except ValueError as error:
        raise PolicyError(str(error)) from None
    first, second, *rest = map(int, policy.split("."))
    # The first two arcs share one number (X.690, 8.19.4).
    if max([first * 40 + second, *rest]) > MAX_ARC:
        raise PolicyError(
            f"{policy} has a part above {MAX_ARC}, and Go's clients refuse its tokens"
        )


def _is_strong(key: Key) -> bool:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.key_size >= _RSA_BITS
    return isinstance(key.curve, ec.SECP256R1)


def _public_bytes(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return b""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _require_purpose(signer: x509.Certificate) -> None:
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        usage = None
    if (
        usage is None
        or not usage.critical
        or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]
    ):
        raise AuthorityError(
            "the certificate must have the extended key usage timeStamping alone, marked critical"
        )
