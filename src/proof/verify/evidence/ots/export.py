"""A Bitcoin proof of ours as an `.ots` file, for OpenTimestamps clients.

Source: the calendar contract, "Wire format" (how a node of the plain tree is expressed). The file goes by
the plain tree alone, with append, prepend and SHA-256: a client that lacks one operation of a file, as the
JavaScript library lacks hexlify, can read nothing of it.
"""

from collections.abc import Iterator
from typing import Final

from proof.verify.errors import NotExpressibleError
from proof.verify.evidence.bitcoin.evidence import (
    BitcoinEvidence,
    check_plain_path,
    read_evidence,
)
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.format import Branch, Operation, OtsFile, Timestamp
from proof.verify.evidence.ots.writing import write_ots
from proof.verify.payload import read_branch
from proof.verify.plain import PlainPath
from proof.verify.strict_json import members, parse_json

_ROOTS_BYTES: Final = 64

_SHA256: Final[Operation] = (ots.SHA256, b"")

_LEAF: Final[Operation] = (ots.PREPEND, b"\x00")

_NODE: Final[Operation] = (ots.PREPEND, b"\x01")


def to_ots(payload: bytes | dict[str, object]) -> bytes:
    """The `.ots` file of a payload with `bitcoin` evidence, about the payload's `sha256`.

    The payload is checked as `verify_payload` checks it, except for what ties its header to a chain,
    and for `tree` beside its root: an `.ots` file says neither. Raises a subclass of RefusedError;
    NotExpressibleError for other evidence, for one without a plain path and for a transaction too long
    for the format.
    """
    found = members(parse_json(payload) if isinstance(payload, bytes) else payload, "the proof")
    branch, _ = read_branch(found)
    evidence = members(found.get("evidence"), "evidence")
    if evidence.get("type") != "bitcoin":
        raise NotExpressibleError("only a proof with bitcoin evidence can be an .ots file")
    anchored = read_evidence(branch.root, evidence)
    path = check_plain_path(branch.leaf, anchored.anchor, evidence)
    if path is None:
        raise NotExpressibleError(
            "the proof has no evidence.plainPath, and .ots files go by the plain tree"
        )
    return write_ots(ots_from_evidence(branch.leaf, path, anchored))


def ots_from_evidence(leaf: bytes, path: PlainPath, evidence: BitcoinEvidence) -> OtsFile:
    """The same for a plain path and evidence that have been checked."""
    operations = [
        *plain_operations(path),
        *_transaction_operations(evidence),
        *_path_operations(evidence),
    ]
    root = evidence.header.merkle_root
    attestation = ots.bitcoin_attestation(evidence.height, root)
    end = Timestamp(root, (attestation,), ())
    return OtsFile(ots.SHA256, Timestamp(leaf, (), (Branch(tuple(operations), end),)))


def plain_operations(path: PlainPath) -> Iterator[Operation]:
    """The operations from a leaf to the plain root."""
    for tree in path:
        yield _LEAF
        yield _SHA256
        for on_left, sibling in tree:
            yield (ots.PREPEND if on_left else ots.APPEND), sibling
            yield _NODE
            yield _SHA256


def _transaction_operations(evidence: BitcoinEvidence) -> Iterator[Operation]:
    anchor = evidence.anchor
    if len(anchor.stripped) > ots.MAX_MESSAGE_BYTES:
        raise NotExpressibleError(
            f"the transaction is {len(anchor.stripped)} bytes long; an .ots file takes"
            f" {ots.MAX_MESSAGE_BYTES}"
        )
    yield ots.PREPEND, anchor.stripped[: anchor.root_at + _ROOTS_BYTES // 2]
    yield ots.APPEND, anchor.stripped[anchor.root_at + _ROOTS_BYTES :]
    yield _SHA256
    yield _SHA256


def _path_operations(evidence: BitcoinEvidence) -> Iterator[Operation]:
    for level, sibling in enumerate(evidence.path):
        yield (ots.PREPEND if evidence.index >> level & 1 else ots.APPEND), sibling
        yield _SHA256
        yield _SHA256
