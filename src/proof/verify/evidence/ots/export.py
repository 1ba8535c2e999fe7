"""A Bitcoin proof of ours as an `.ots` file, which any OpenTimestamps client reads.

Source: the calendar contract, "Wire format" (how a node of our tree is expressed).
"""

from collections.abc import Iterator
from typing import Any, Final

from proof.verify.errors import NotExpressibleError
from proof.verify.evidence.bitcoin.evidence import BitcoinEvidence, read_evidence
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.format import Branch, Operation, OtsFile, Timestamp
from proof.verify.evidence.ots.writing import write_ots
from proof.verify.payload import read_branch
from proof.verify.strict_json import members, parse_json

_SHA256: Final[Operation] = (ots.SHA256, b"")

_HEXLIFY: Final[Operation] = (ots.HEXLIFY, b"")


def to_ots(payload: bytes | dict[str, object]) -> bytes:
    """The `.ots` file of a payload with `bitcoin` evidence, about the payload's `sha256`.

    The payload is checked as `verify_payload` checks it, except for what ties its header to a chain,
    and for `tree` beside its root: an `.ots` file says neither. Raises a subclass of RefusedError;
    NotExpressibleError for other evidence and for a transaction too long for the format.
    """
    found = members(parse_json(payload) if isinstance(payload, bytes) else payload, "the proof")
    branch, _ = read_branch(found)
    evidence = members(found.get("evidence"), "evidence")
    if evidence.get("type") != "bitcoin":
        raise NotExpressibleError("only a proof with bitcoin evidence can be an .ots file")
    return write_ots(ots_from_evidence(found, branch.leaf, read_evidence(branch.root, evidence)))


def ots_from_evidence(
    payload: dict[str, object], leaf: bytes, evidence: BitcoinEvidence
) -> OtsFile:
    """The same for a payload whose branch and evidence have been checked."""
    operations = [
        *_branch_operations(payload["branch"]),
        *_transaction_operations(evidence),
        *_path_operations(evidence),
    ]
    root = evidence.header.merkle_root
    attestation = ots.bitcoin_attestation(evidence.height, root)
    end = Timestamp(root, (attestation,), ())
    return OtsFile(ots.SHA256, Timestamp(leaf, (), (Branch(tuple(operations), end),)))


def _branch_operations(branch: Any) -> Iterator[Operation]:
    """From the leaf of a checked branch, the contract's nested `Node`, to its root."""
    nodes = []
    while "leftSha256" in branch:
        nodes.append(branch)
        branch = branch["left"] if "left" in branch else branch["right"]
    for node in reversed(nodes):
        yield _HEXLIFY
        if "left" in node:
            yield ots.APPEND, node["rightSha256"].encode("ascii")
        else:
            yield ots.PREPEND, node["leftSha256"].encode("ascii")
        yield _SHA256


def _transaction_operations(evidence: BitcoinEvidence) -> Iterator[Operation]:
    anchor = evidence.anchor
    if len(anchor.stripped) > ots.MAX_MESSAGE_BYTES:
        raise NotExpressibleError(
            f"the transaction is {len(anchor.stripped)} bytes long; an .ots file takes"
            f" {ots.MAX_MESSAGE_BYTES}"
        )
    yield ots.PREPEND, anchor.stripped[: anchor.root_at]
    yield ots.APPEND, anchor.stripped[anchor.root_at + 32 :]
    yield _SHA256
    yield _SHA256


def _path_operations(evidence: BitcoinEvidence) -> Iterator[Operation]:
    for level, sibling in enumerate(evidence.path):
        yield (ots.PREPEND if evidence.index >> level & 1 else ots.APPEND), sibling
        yield _SHA256
        yield _SHA256
