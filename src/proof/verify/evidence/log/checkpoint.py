"""Checkpoints: what a log has signed about its size and root, and when a cosigner saw it.

Sources: c2sp.org/tlog-checkpoint, c2sp.org/signed-note ("Signatures"), c2sp.org/tlog-cosignature.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from proof.verify.errors import (
    CheckpointFormatError,
    CosignatureTimeError,
    DuplicateSignatureError,
    NotSignedByLogKeyError,
    SignatureError,
    quoted,
)
from proof.verify.evidence.log import ed25519, mldsa44
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import (
    COSIGNER_KEYS,
    LOG_KEY,
    MAX_TIME_S,
    MLDSA_COSIGNER_KEY,
    SIGNATURE_BYTES,
    TIME_BYTES,
    Note,
    SignatureLine,
    VerifierKey,
    cosignature_message,
    cosigned_message,
    decode_base64,
    end_of_second_ms,
    parse_note,
)

_BODY_LINES: Final = 3

_ROOT_BYTES: Final = 32

_LAST_TIME_S: Final = 253_402_300_798  # the last second that ends within the year 9999

_Verifiers: TypeAlias = tuple[Ed25519Verify, Mldsa44Verify]

_size = re.compile(r"0|[1-9][0-9]{0,18}").fullmatch


@dataclass(frozen=True, slots=True)
class CheckpointBody:
    """What a checkpoint says; `root` is 32 bytes. Says nothing about who signed it."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A trusted cosigner's name and the POSIX time, in whole seconds, that it signed.

    A time of 0 says nothing about time.
    """

    name: str
    time_s: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint and what the caller's keys establish about it.

    `log_key` is the trusted key that signed it, or None if the caller trusts no key of this
    origin; then nothing of the body is established. `cosignatures` are those of trusted cosigners.
    """

    origin: str
    size: int
    root: bytes
    log_key: VerifierKey | None
    cosignatures: tuple[Cosignature, ...]

    @property
    def cosigned_time_s(self) -> int | None:
        """The earliest time a trusted cosigner signed, or None: the keys given are the policy, and one
        cosigner of them satisfies it. A time of 0, or one beyond the year 9999, counts for none."""
        times_s = (cosignature.time_s for cosignature in self.cosignatures)
        return min((time_s for time_s in times_s if 0 < time_s <= _LAST_TIME_S), default=None)

    @property
    def existed_by_ms(self) -> int | None:
        """The end of that second, in milliseconds since 1970 UTC, or None."""
        time_s = self.cosigned_time_s
        return None if time_s is None else end_of_second_ms(time_s)


def parse_checkpoint_body(body: bytes) -> CheckpointBody:
    """Read origin, size and root; extension lines are allowed and ignored.

    Raises CheckpointFormatError.
    """
    lines = body.decode().split("\n")
    if len(lines) <= _BODY_LINES or lines.pop() != "" or not all(lines):
        raise CheckpointFormatError("a checkpoint has three lines, none of them empty")
    origin, size, root_text = lines[:_BODY_LINES]
    root = decode_base64(root_text)
    if not _size(size) or int(size) > MAX_TIME_S:
        raise CheckpointFormatError(
            f"the checkpoint's size is {quoted(size)}, not a decimal number"
        )
    if root is None or len(root) != _ROOT_BYTES:
        raise CheckpointFormatError("the checkpoint's root hash is not base64 of 32 bytes")
    return CheckpointBody(origin, int(size), root)


def verify_checkpoint(
    note: bytes,
    keys: Sequence[VerifierKey],
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
) -> Checkpoint:
    """Read a signed checkpoint and verify every line of a trusted key.

    `note` is UTF-8; `keys` are log keys (0x01), whose name is the origin they speak for, and
    cosigner keys (0x04, 0x06). Lines of other keys are ignored, as signed-note demands.

    Raises a subclass of RefusedError: a malformed note, a trusted key's line that does not verify
    or occurs twice, or an origin whose key the caller trusts without a line by that key. A note
    of an origin unknown to the caller is returned with `log_key` None.

    Not checked: that a cosigner's time is not in the future (no clock is read), and that the log
    is consistent with other checkpoints.
    """
    parsed, body = _parsed(note)
    signed = _verified_lines(parsed, body, keys, (ed25519_verify, mldsa44_verify))
    signing = [key for key, _ in signed]
    log_keys = [key for key in keys if key.key_type == LOG_KEY and key.name == body.origin]
    signers = [key for key in log_keys if key in signing]
    if log_keys and not signers:
        raise NotSignedByLogKeyError(
            f"the checkpoint names {quoted(body.origin)} but that log's trusted key did not sign it"
        )
    cosignatures = tuple(
        Cosignature(key.name, _cosigned_time_s(line))
        for key, line in signed
        if key.key_type in COSIGNER_KEYS
    )
    log_key = signers[0] if signers else None
    return Checkpoint(body.origin, body.size, body.root, log_key, cosignatures)


# All proofs of one round come with the same checkpoint. Only what its bytes alone decide is kept: whose
# keys are trusted and whether they signed it is asked anew each time.
@lru_cache(maxsize=16)
def _parsed(note: bytes) -> tuple[Note, CheckpointBody]:
    parsed = parse_note(note)
    return parsed, parse_checkpoint_body(parsed.body)


def _verified_lines(
    note: Note, body: CheckpointBody, keys: Sequence[VerifierKey], verifiers: _Verifiers
) -> list[tuple[VerifierKey, SignatureLine]]:
    """The lines that name a trusted key, each verified."""
    trusted = {(key.name, key.key_hash): key for key in keys}
    signed: dict[tuple[str, bytes], tuple[VerifierKey, SignatureLine]] = {}
    for line in note.signatures:
        signer = (line.name, line.key_hash)
        key = trusted.get(signer)
        if key is None:
            continue
        if signer in signed:
            raise DuplicateSignatureError(f"{quoted(key.name)} signed the checkpoint twice")
        _verify_line(note, body, line, key, verifiers)
        signed[signer] = (key, line)
    return list(signed.values())


def _verify_line(
    note: Note, body: CheckpointBody, line: SignatureLine, key: VerifierKey, verifiers: _Verifiers
) -> None:
    time_bytes = 0 if key.key_type == LOG_KEY else TIME_BYTES
    if len(line.payload) != time_bytes + SIGNATURE_BYTES[key.key_type]:
        raise SignatureError(f"the signature of {quoted(key.name)} has the wrong length")
    signature = line.payload[time_bytes:]
    ed25519_verify, mldsa44_verify = verifiers
    if key.key_type == MLDSA_COSIGNER_KEY:
        message = _mldsa_message(body, line)
        mldsa44.check(key.public_key, message, signature, mldsa44_verify)
        return
    message = note.body
    if key.key_type != LOG_KEY:
        message = cosignature_message(_cosigned_time_s(line), note.body)
    ed25519.check(key.public_key, message, signature, ed25519_verify)


def _mldsa_message(body: CheckpointBody, line: SignatureLine) -> bytes:
    time_s = _cosigned_time_s(line)
    try:
        return cosigned_message(line.name, time_s, body.origin, body.size, body.root)
    except ValueError as error:
        # The key's name fits, so it is the origin that no such cosigner can have signed.
        raise SignatureError(f"{quoted(line.name)} cannot have signed so long an origin") from error


def _cosigned_time_s(line: SignatureLine) -> int:
    time_s = int.from_bytes(line.payload[:TIME_BYTES], "big")
    if time_s > MAX_TIME_S:
        raise CosignatureTimeError(f"the cosignature of {quoted(line.name)} has an impossible time")
    return time_s
