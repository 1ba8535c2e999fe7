"""Keys that sign notes: a log's Ed25519 key, and a cosigner's Ed25519 and ML-DSA-44 keys.

The functions that verify are OpenSSL's, for `proof.verify` where speed matters: they decide as its own do.

Sources: c2sp.org/signed-note (type 0x01), c2sp.org/tlog-cosignature@v1.1.0-rc.1 (types 0x04, 0x06).
"""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    VerifierKey,
    cosignature_message,
    cosignature_payload,
    cosigned_message,
    parse_verifier_key,
    signature_line,
    verifier_key,
)

SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A named key of one type. `public` is what others verify with, `text` the same as a vkey."""

    name: str
    key_type: int
    private: Ed25519PrivateKey | MLDSA44PrivateKey = field(repr=False)
    public: VerifierKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises VerifierKeyError for a name that no note can carry, TypeError for another kind of key."""
        if not isinstance(self.private, _kind(self.key_type)):
            raise TypeError(f"a key of type 0x{self.key_type:02x} is of another algorithm")
        raw = self.private.public_key().public_bytes_raw()
        public = parse_verifier_key(verifier_key(self.name, self.key_type, raw))
        object.__setattr__(self, "public", public)

    @classmethod
    def generate(cls, name: str, key_type: int) -> "SigningKey":
        return cls(name, key_type, _kind(key_type).generate())

    @classmethod
    def from_seed(cls, name: str, key_type: int, seed: bytes) -> "SigningKey":
        """The key that `seed` gave. Raises ValueError for a seed that is not `SEED_BYTES` long."""
        kind = _kind(key_type)
        if kind is MLDSA44PrivateKey:
            return cls(name, key_type, MLDSA44PrivateKey.from_seed_bytes(seed))
        return cls(name, key_type, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The private key: 32 bytes for every type."""
        return self.private.private_bytes_raw()

    @property
    def text(self) -> str:
        return verifier_key(self.name, self.key_type, self.public.public_key)

    def sign(self, body: bytes) -> bytes:
        """A log's signature line over a checkpoint's body. Raises ValueError for a cosigner's key."""
        if self.key_type != LOG_KEY:
            raise ValueError("a cosigner signs with the time")
        return signature_line(self.name, self.public.key_hash, self.private.sign(body))

    def cosign(self, body: bytes, time_s: int) -> bytes:
        """A cosigner's line over a checkpoint's body at that POSIX time, or at 0, which says none.

        Raises ValueError if this is a log's key, or for an origin that the key's type cannot name,
        CheckpointFormatError for a body that is no checkpoint's.
        """
        if self.key_type == LOG_KEY:
            raise ValueError("a log signs without a time")
        message = self._cosigned(body, time_s)
        payload = cosignature_payload(time_s, self.private.sign(message))
        return signature_line(self.name, self.public.key_hash, payload)

    def _cosigned(self, body: bytes, time_s: int) -> bytes:
        checkpoint = parse_checkpoint_body(body)
        if self.key_type == COSIGNER_KEY:
            return cosignature_message(time_s, body)
        return cosigned_message(
            self.name, time_s, checkpoint.origin, checkpoint.size, checkpoint.root
        )


def _kind(key_type: int) -> type[Ed25519PrivateKey] | type[MLDSA44PrivateKey]:
    if key_type == MLDSA_COSIGNER_KEY:
        return MLDSA44PrivateKey
    if key_type in {LOG_KEY, COSIGNER_KEY}:
        return Ed25519PrivateKey
    raise ValueError(f"there is no key of type 0x{key_type:02x}")


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True if the 64-byte signature is the 32-byte key's over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def mldsa44_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True if the 2420-byte signature is the 1312-byte key's over the message, with an empty context."""
    try:
        MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
