"""Checkpoints: what a log has signed about its size and root, and when a cosigner saw it.

Sources: c2sp.org/tlog-checkpoint, c2sp.org/signed-note ("Signatures"), c2sp.org/tlog-cosignature.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from proof.verify.evidence.log.policy import Log, Policy, Witness, policy_of_keys

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
    """A trusted cosigner's line: the name it signs under, the policy's name for it, and the POSIX time, in
    whole seconds, that it signed.

    A time of 0 says nothing about time.
    """

    name: str
    witness: str
    time_s: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the note. `signer`: the caller's log or witness whose valid line it is, or None where its
    key was not given, so that nothing was checked. `time_s`: as a witness's `Cosignature` has it.
    """

    name: str
    key_hash: bytes
    signer: Log | Witness | None
    time_s: int | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint and what the caller's policy establishes about it.

    `log_key` is the trusted key that signed it, or None if the caller trusts no key of this
    origin; then nothing of the body is established. `cosignatures` are those of the policy's witnesses,
    `signatures` all lines of the note.
    """

    origin: str
    size: int
    root: bytes
    log_key: VerifierKey | None
    cosignatures: tuple[Cosignature, ...]
    signatures: tuple[SignatureLine, ...] = field(repr=False)
    policy: Policy = field(repr=False)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line of the note in its order, and whose it is."""
        signers = [self.policy.signers.get((each.name, each.key_hash)) for each in self.signatures]
        return tuple(
            Line(
                line.name,
                line.key_hash,
                signer,
                _cosigned_time_s(line) if isinstance(signer, Witness) else None,
            )
            for line, signer in zip(self.signatures, signers, strict=True)
        )

    @property
    def quorum_reached(self) -> bool:
        """Whether those who cosigned, at whatever time, are the policy's quorum: they all were shown this
        history. A cosignature without a time says that as well as any."""
        return self.policy.satisfied({cosignature.witness for cosignature in self.cosignatures})

    @property
    def missing(self) -> tuple[Witness, ...]:
        """The witnesses that could contribute to the quorum and did not cosign."""
        signed = {cosignature.witness for cosignature in self.cosignatures}
        return tuple(each for each in self.policy.counted() if each.name not in signed)

    @property
    def cosigned_time_s(self) -> int | None:
        """The earliest second by which a quorum had signed a time, or None.

        A time of 0, or one beyond the year 9999, counts for none: whoever signs it vouches for the history
        and not for when. A policy without a quorum names nobody whose time would count.
        """
        if self.policy.quorum is None:
            return None
        signed: set[str] = set()
        for cosignature in sorted(self.cosignatures, key=_signed_time):
            if counts_for_time(cosignature.time_s):
                signed.add(cosignature.witness)
                if self.policy.satisfied(signed):
                    return cosignature.time_s
        return None

    @property
    def existed_by_ms(self) -> int | None:
        """The end of that second, in milliseconds since 1970 UTC, or None."""
        time_s = self.cosigned_time_s
        return None if time_s is None else end_of_second_ms(time_s)


def counts_for_time(time_s: int) -> bool:
    """Whether a signed time says when: 0 is none, and what lies beyond the year 9999 is no date."""
    return 0 < time_s <= _LAST_TIME_S


def _signed_time(cosignature: Cosignature) -> int:
    return cosignature.time_s


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
    trusted: Policy | Sequence[VerifierKey],
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
) -> Checkpoint:
    """Read a signed checkpoint and verify every line of a trusted key.

    `note` is UTF-8. `trusted` is a policy, or keys, which are a policy of any cosigner among them: log keys
    (0x01), whose name is the origin they speak for, and cosigner keys (0x04, 0x06). Lines of other keys are
    ignored, as signed-note demands.

    Raises a subclass of RefusedError: a malformed note, a trusted key's line that does not verify
    or occurs twice, or an origin whose key the caller trusts without a line by that key. A note
    of an origin unknown to the caller is returned with `log_key` None, and one without the policy's quorum
    with `quorum_reached` False.

    Not checked: that a cosigner's time is not in the future (no clock is read), and that the log
    is consistent with other checkpoints.
    """
    policy = trusted if isinstance(trusted, Policy) else policy_of_keys(tuple(trusted))
    parsed, body = _parsed(note)
    signed = _verified_lines(parsed, body, policy, (ed25519_verify, mldsa44_verify))
    signing = {id(signer) for signer, _ in signed}
    logs = [log for log in policy.logs if log.key.name == body.origin]
    signers = [log.key for log in logs if id(log) in signing]
    if logs and not signers:
        raise NotSignedByLogKeyError(
            f"the checkpoint names {quoted(body.origin)} but that log's trusted key did not sign it"
        )
    cosignatures = tuple(
        Cosignature(signer.key.name, signer.name, _cosigned_time_s(line))
        for signer, line in signed
        if isinstance(signer, Witness)
    )
    log_key = signers[0] if signers else None
    return Checkpoint(
        body.origin, body.size, body.root, log_key, cosignatures, parsed.signatures, policy
    )


# All proofs of one round come with the same checkpoint. Only what its bytes alone decide is kept: whose
# keys are trusted and whether they signed it is asked anew each time.
@lru_cache(maxsize=16)
def _parsed(note: bytes) -> tuple[Note, CheckpointBody]:
    parsed = parse_note(note)
    return parsed, parse_checkpoint_body(parsed.body)


def _verified_lines(
    note: Note, body: CheckpointBody, policy: Policy, verifiers: _Verifiers
) -> list[tuple[Log | Witness, SignatureLine]]:
    """The lines that name a trusted key, each verified."""
    signed: dict[tuple[str, bytes], tuple[Log | Witness, SignatureLine]] = {}
    for line in note.signatures:
        identity = (line.name, line.key_hash)
        signer = policy.signers.get(identity)
        if signer is None:
            continue
        if identity in signed:
            raise DuplicateSignatureError(f"{quoted(line.name)} signed the checkpoint twice")
        _verify_line(note, body, line, signer.key, verifiers)
        signed[identity] = (signer, line)
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
