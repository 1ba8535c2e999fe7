"""The keys a witness trusts for a log, and the lines of a checkpoint that they signed.

Sources: c2sp.org/signed-note ("Signatures"); c2sp.org/tlog-checkpoint, by which a log signs with a key
of its own (type 0x01) or as a cosigner does (0x04, 0x06).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from proof.verify.evidence.log.checkpoint import CheckpointBody
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MAX_TIME_S,
    MLDSA_COSIGNER_KEY,
    TIME_BYTES,
    Note,
    SignatureLine,
    VerifierKey,
    VerifierKeyError,
    cosignature_message,
    cosigned_message,
    parse_verifier_key,
    signature_line,
)
from proof.witness.errors import UnsignedCheckpointError

_Verify: TypeAlias = Callable[[bytes, bytes], None]
"""(signature, message); raises InvalidSignature."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key that is trusted for a log. `text` is its vkey."""

    text: str
    key: VerifierKey
    verify: _Verify


def parse_log_key(text: str) -> LogKey:
    """Raises VerifierKeyError."""
    key = parse_verifier_key(text)
    try:
        public: Ed25519PublicKey | MLDSA44PublicKey = (
            MLDSA44PublicKey.from_public_bytes(key.public_key)
            if key.key_type == MLDSA_COSIGNER_KEY
            else Ed25519PublicKey.from_public_bytes(key.public_key)
        )
    except ValueError:
        raise VerifierKeyError("the public key is none") from None
    return LogKey(text, key, public.verify)


def signed_lines(note: Note, checkpoint: CheckpointBody, keys: Sequence[LogKey]) -> bytes:
    """The signature lines of trusted keys, each verified; those of others are ignored.

    Raises UnsignedCheckpointError when there is none, or a trusted key's does not verify or occurs
    twice.
    """
    signed: dict[tuple[str, bytes], bytes] = {}
    trusted = {(each.key.name, each.key.key_hash): each for each in keys}
    for line in note.signatures:
        signer = (line.name, line.key_hash)
        if (each := trusted.get(signer)) is None:
            continue
        if signer in signed:
            raise UnsignedCheckpointError(f"{line.name} signed the checkpoint twice")
        try:
            _verify(each, line, note.body, checkpoint)
        except (InvalidSignature, ValueError):
            raise UnsignedCheckpointError(f"the signature of {line.name} does not verify") from None
        signed[signer] = signature_line(line.name, line.key_hash, line.payload)
    if not signed:
        raise UnsignedCheckpointError("no key that is trusted for this log signed the checkpoint")
    return b"".join(signed.values())


def _verify(trusted: LogKey, line: SignatureLine, body: bytes, checkpoint: CheckpointBody) -> None:
    """Raises InvalidSignature, or ValueError for what such a key cannot have signed."""
    key = trusted.key
    if key.key_type == LOG_KEY:
        trusted.verify(line.payload, body)
        return
    time_s = int.from_bytes(line.payload[:TIME_BYTES], "big")
    if time_s > MAX_TIME_S:
        raise ValueError("the time is beyond 2^63 - 1")
    if key.key_type == COSIGNER_KEY:
        message = cosignature_message(time_s, body)
    else:
        message = cosigned_message(
            key.name, time_s, checkpoint.origin, checkpoint.size, checkpoint.root
        )
    trusted.verify(line.payload[TIME_BYTES:], message)
