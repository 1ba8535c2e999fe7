"""A proof in the log as text that other verifiers of such logs read: c2sp.org/tlog-proof@v1.

    c2sp.org/tlog-proof@v1
    extra <base64 of the way from the hash to the entry>
    index <the entry's index>
    <base64 of a sibling, from the entry upwards>
    …

    <the checkpoint, a signed note>

The entry is 64 bytes, root ‖ plain root. The extra data, 65 to 2,177 bytes, are

    01 ‖ hash (32) ‖ root (32) ‖ steps of 33 bytes: 00 or 01 ‖ sibling (32)

A step says by its first byte whether the sibling stands on the left (01) of the node or on its right (00).
From SHA-256(00 ‖ hash) they lead upwards, SHA-256(01 ‖ left ‖ right), to the plain root.

Source: c2sp.org/tlog-proof, as of 0065ea5b716154a2dd48508e3f905012a16ce5e9.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from proof.verify.errors import (
    LogRootMismatchError,
    TlogProofError,
    TlogProofExtraError,
    quoted,
)
from proof.verify.established import LogInclusion
from proof.verify.evidence.log import ed25519, mldsa44, rfc6962
from proof.verify.evidence.log.checkpoint import Checkpoint, verify_checkpoint
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.evidence import MAX_LOG_PATH, untied_reason
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import MAX_NOTE_BYTES, decode_base64
from proof.verify.evidence.log.policy import Policy
from proof.verify.merkle import MAX_LEVELS
from proof.verify.plain import Sibling, plain_root

MAGIC: Final = b"c2sp.org/tlog-proof@v1\n"

SUFFIX: Final = ".tlog-proof"

MAX_TLOG_PROOF_BYTES: Final = (
    MAX_NOTE_BYTES + 8 * 1024
)  # the longest extra data and path take 6 KiB

_HASH_BYTES: Final = 32

_VERSION: Final = b"\x01"

_HEAD_BYTES: Final = 1 + 2 * _HASH_BYTES

_STEP_BYTES: Final = 1 + _HASH_BYTES

_index = re.compile(r"index (0|[1-9][0-9]{0,18})").fullmatch


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A parsed proof. `leaf` and `root`: 32 bytes; `path` leads from the leaf to the plain root,
    `inclusion` from the entry to the log's; `checkpoint` is a note. Nothing of it is verified."""

    leaf: bytes
    root: bytes
    path: tuple[Sibling, ...]
    index: int
    inclusion: tuple[bytes, ...]
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class EstablishedTlogProof:
    """What a proof that was not refused establishes.

    `leaf` (32 bytes) is `levels` levels under the plain root, which is the second half of the entry that
    `inclusion` is about. `root` is its first half: nothing rests on it. `checkpoint`, `signed_by`,
    `timestamp_ms` and `remaining` are those of `Established`.
    """

    leaf: bytes
    root: bytes
    levels: int
    inclusion: LogInclusion
    checkpoint: Checkpoint
    signed_by: str | None
    timestamp_ms: int | None
    remaining: tuple[str, ...]

    @property
    def tied(self) -> bool:
        """Whether log and time are tied to keys the caller trusts."""
        return self.timestamp_ms is not None


def write_tlog_proof(proof: TlogProof) -> bytes:
    """The proof as `parse_tlog_proof` reads it."""
    steps = b"".join(bytes([on_left]) + sibling for on_left, sibling in proof.path)
    extra = _VERSION + proof.leaf + proof.root + steps
    lines = [b"extra " + b64encode(extra), b"index %d" % proof.index]
    lines += map(b64encode, proof.inclusion)
    return MAGIC + b"\n".join(lines) + b"\n\n" + proof.checkpoint


def parse_tlog_proof(raw: bytes) -> TlogProof:
    """Read a proof whose extra data are ours, within `MAX_TLOG_PROOF_BYTES`.

    Raises TlogProofError, and TlogProofExtraError for extra data that are missing or somebody else's. The
    checkpoint is not read.
    """
    if len(raw) > MAX_TLOG_PROOF_BYTES:
        raise TlogProofError(f"the proof is longer than {MAX_TLOG_PROOF_BYTES} bytes")
    head, empty_line, checkpoint = raw.partition(b"\n\n")
    if not head.startswith(MAGIC) or not empty_line or not head.isascii():
        raise TlogProofError("the proof is not a tlog-proof@v1, an empty line and a checkpoint")
    lines = head.decode("ascii").split("\n")[1:]
    extra = lines.pop(0) if lines[0].startswith("extra ") else None
    matched = _index(lines[0]) if lines else None
    if not matched or int(matched[1]) >= rfc6962.MAX_SIZE:
        raise TlogProofError("the proof has no line with the entry's index in its place")
    inclusion = tuple(map(_hash, lines[1:]))
    if len(inclusion) > MAX_LOG_PATH:
        raise TlogProofError(f"the inclusion path has more than {MAX_LOG_PATH} levels")
    leaf, root, path = _parse_extra(extra)
    return TlogProof(leaf, root, path, int(matched[1]), inclusion, checkpoint)


def verify_tlog_proof(
    raw: bytes,
    trusted: Policy,
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
) -> EstablishedTlogProof:
    """Verify a proof and return what it establishes about the hash in its extra data.

    1. The text has one meaning, and is bounded.
    2. The way from the hash leads to a plain root; root and plain root are an entry.
    3. The entry is in the log, at the index that the proof names.
    4. The checkpoint is signed by a trusted log key, and 5. by a quorum of trusted cosigners, as
       `verify_payload` has it.

    Raises a subclass of RefusedError. What cannot be checked for want of keys is named in `remaining`. Not
    checked: what the hash is of; the caller compares it.
    """
    proof = parse_tlog_proof(raw)  # 1
    checkpoint = verify_checkpoint(proof.checkpoint, trusted, ed25519_verify, mldsa44_verify)
    inclusion = _verify_inclusion(proof, checkpoint)  # 2, 3
    signed = checkpoint.log_key is not None  # 4
    existed_by_ms = checkpoint.existed_by_ms if signed else None  # 5
    return EstablishedTlogProof(
        leaf=proof.leaf,
        root=proof.root,
        levels=len(proof.path),
        inclusion=inclusion,
        checkpoint=checkpoint,
        signed_by=checkpoint.origin if signed else None,
        timestamp_ms=existed_by_ms,
        remaining=() if existed_by_ms is not None else (f"{untied_reason(checkpoint)}.",),
    )


def _verify_inclusion(proof: TlogProof, checkpoint: Checkpoint) -> LogInclusion:
    plain = plain_root(proof.leaf, [list(proof.path)])
    entry = rfc6962.leaf_hash(proof.root + plain)
    found = rfc6962.root_from_inclusion(proof.index, checkpoint.size, entry, proof.inclusion)
    if found != checkpoint.root:
        raise LogRootMismatchError(
            "the way from the hash to the entry, and on to the log's root, leads to another root than the"
            " checkpoint's"
        )
    return LogInclusion(checkpoint.origin, proof.index, checkpoint.size, found, plain)


def _hash(line: str) -> bytes:
    found = decode_base64(line)
    if found is None or len(found) != _HASH_BYTES:
        raise TlogProofError(f"{quoted(line)} is not base64 of a 32-byte hash")
    return found


def _parse_extra(line: str | None) -> tuple[bytes, bytes, tuple[Sibling, ...]]:
    if line is None:
        raise TlogProofExtraError(
            "the proof has no extra data, which lead from a hash to the entry"
        )
    raw = decode_base64(line.removeprefix("extra "))
    if raw is None:
        raise TlogProofError("the extra data are not base64")
    steps, rest = divmod(len(raw) - _HEAD_BYTES, _STEP_BYTES)
    if raw[:1] != _VERSION or rest or not 0 <= steps <= MAX_LEVELS:
        raise TlogProofExtraError(
            "the extra data are no way from a hash to an entry that is known here"
        )
    leaf, root = raw[1 : 1 + _HASH_BYTES], raw[1 + _HASH_BYTES : _HEAD_BYTES]
    starts = range(_HEAD_BYTES, len(raw), _STEP_BYTES)
    return leaf, root, tuple(_step(raw[start : start + _STEP_BYTES]) for start in starts)


def _step(raw: bytes) -> Sibling:
    if raw[0] > 1:
        raise TlogProofExtraError(
            "a step of the extra data is neither on the left nor on the right"
        )
    return raw[0] == 1, raw[1:]
