"""The proof payload: what it establishes about one SHA-256, and what it does not.

Source: the timestamp API contract, "POST /v1/proof" (payload and evidence) and "What verifying
says".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from proof.verify import ed25519, merkle, rfc6962
from proof.verify.checkpoint import Checkpoint, verify_checkpoint
from proof.verify.ed25519 import Ed25519Verify
from proof.verify.errors import (
    CurrencyMismatchError,
    LeafMismatchError,
    LogRootMismatchError,
    MemberError,
    OriginMismatchError,
    RootMismatchError,
    SubmitStatusError,
    TimestampMismatchError,
    TransactionMismatchError,
    quoted,
)
from proof.verify.merkle import Branch
from proof.verify.note import VerifierKey
from proof.verify.strict_json import parse_json

LOG_CURRENCY_ID: Final = 900
LOG_CURRENCY: Final = "LOG"
MAX_LOG_PATH: Final = 63  # the levels of the largest log, 2^63 - 1 entries

_VERIFIED: Final = 3
_MAX_TIMESTAMP_MS: Final = 253_402_300_799_999  # the end of the year 9999
_MAX_TEXT_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class ClaimedTree:
    """The payload's `tree` as it stands: well-formed, and only its sender's word.

    What of it was checked against evidence is said by `Established`; `tree_id` never is.
    """

    tree_id: str
    currency_id: int
    currency: str
    timestamp_ms: int
    transaction: str


@dataclass(frozen=True, slots=True)
class LogInclusion:
    """The round's root is entry `index` of a log of `size` entries whose root is `root`."""

    origin: str
    index: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """What a payload that was not refused establishes.

    `leaf`, `root` (32 bytes) and `levels`: the leaf is in the tree under that root. Nothing is said
    about the kind of thing the leaf is the hash of, nor about the tree's size.

    `inclusion`: arithmetic ties the root to that log root, whoever made it.
    `signed_by`: name of the caller's trusted log key that signed the log root, or None.
    `timestamp_ms`: milliseconds since 1970 UTC signed by a key the caller trusts, or None.
    `remaining`: sentences, one for each thing that is not established; empty when `tied`.
    """

    leaf: bytes
    root: bytes
    levels: int
    claimed: ClaimedTree
    inclusion: LogInclusion | None
    signed_by: str | None
    timestamp_ms: int | None
    remaining: tuple[str, ...]

    @property
    def tied(self) -> bool:
        """Whether root and time are tied to keys the caller trusts."""
        return self.timestamp_ms is not None


def verify_payload(
    raw: bytes | dict[str, object],
    *,
    log_keys: Sequence[VerifierKey] = (),
    ed25519_verify: Ed25519Verify = ed25519.verify,
) -> Established:
    """Verify a proof payload and return what it establishes, tied to trusted keys or not.

    `raw` is the payload's JSON (UTF-8, at most 1 MiB), or that JSON already parsed; a parsed one
    escapes the refusals of `parse_json`. `log_keys` are the keys the caller trusts, of both types
    (log and cosigner); nothing in the payload adds to them.

    1. The text is strict JSON: one meaning, bounded.
    2. `sha256`, `tree` and `branch` are there and well-formed; the tree is verified (status 3).
    3. Every hash of the branch is recomputed, from its root down to its leaf.
    4. The leaf is the payload's `sha256`, the root is `tree.rootSha256`.
    5. Evidence of type `log`: the root is in the log, at the index that `tree` names.
    6. The log's root is signed by a trusted log key.
    7. The time is signed by a trusted cosigner and is `tree.timestamp`.

    Raises a subclass of RefusedError for each malformation or contradiction. What cannot be
    checked for want of evidence or keys is not refused: it is named in `remaining`.

    Ignored: unknown members of the payload, of `tree` and of `evidence`. Not checked: `treeId`,
    what the leaf is a hash of, and, without evidence, all that `tree` says beside its root.
    """
    payload = _members(parse_json(raw) if isinstance(raw, bytes) else raw, "the proof")  # 1
    leaf = merkle.hex_hash(payload.get("sha256"), "sha256")  # 2
    tree_members = _members(payload.get("tree"), "tree")
    root = merkle.hex_hash(tree_members.get("rootSha256"), "tree.rootSha256")
    tree = _claimed_tree(tree_members)
    branch = merkle.verify_branch(payload.get("branch"))  # 3
    if branch.leaf.hex() != leaf:  # 4
        raise LeafMismatchError("the branch ends in another hash than the proof's sha256")
    if branch.root.hex() != root:
        raise RootMismatchError("the branch starts from another root than tree.rootSha256")
    if "evidence" not in payload:
        return _untied(branch, tree, f"The proof carries no evidence. {_unchecked(tree)}")
    evidence = _members(payload["evidence"], "evidence")
    evidence_type = _text(evidence, "type", "evidence")
    if evidence_type != "log":
        reason = f"This verifier does not know evidence of type {quoted(evidence_type)}."
        return _untied(branch, tree, f"{reason} {_unchecked(tree)}")
    return _verify_log(branch, tree, evidence, log_keys, ed25519_verify)


def utc_text(timestamp_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC; whole seconds carry no fraction."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)
    precision = "milliseconds" if timestamp_ms % 1000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _verify_log(
    branch: Branch,
    tree: ClaimedTree,
    evidence: dict[str, object],
    log_keys: Sequence[VerifierKey],
    ed25519_verify: Ed25519Verify,
) -> Established:
    """Steps 5 to 7. The log's entry is the 32 raw bytes of the round's root."""
    checkpoint = verify_checkpoint(_note(evidence), log_keys, ed25519_verify)  # signatures of 6, 7
    inclusion = _verify_inclusion(branch.root, evidence, checkpoint)  # 5
    if tree.currency_id != LOG_CURRENCY_ID or tree.currency != LOG_CURRENCY:
        raise CurrencyMismatchError(
            f"the evidence is of a log, but the tree names currency {tree.currency_id} "
            f"({quoted(tree.currency)}) instead of {LOG_CURRENCY_ID} ({LOG_CURRENCY})"
        )
    if tree.transaction != str(inclusion.index):
        raise TransactionMismatchError(
            f"the evidence is of log index {inclusion.index}, but tree.transaction is "
            f"{quoted(tree.transaction)}"
        )
    times_ms = [cosignature.time_s * 1000 for cosignature in checkpoint.cosignatures]
    if times_ms and tree.timestamp_ms not in times_ms:  # 7
        raise TimestampMismatchError(
            f"tree.timestamp is {tree.timestamp_ms}, but the signed time is {times_ms[0]}"
        )
    signed = checkpoint.log_key is not None  # 6
    return Established(
        leaf=branch.leaf,
        root=branch.root,
        levels=branch.levels,
        claimed=tree,
        inclusion=inclusion,
        signed_by=checkpoint.origin if signed else None,
        timestamp_ms=tree.timestamp_ms if signed and times_ms else None,
        remaining=_log_remaining(checkpoint, tree),
    )


def _verify_inclusion(
    root: bytes, evidence: dict[str, object], checkpoint: Checkpoint
) -> LogInclusion:
    origin = _text(evidence, "origin", "evidence")
    if origin != checkpoint.origin:
        raise OriginMismatchError(
            f"evidence.origin is {quoted(origin)}, but the checkpoint is of "
            f"{quoted(checkpoint.origin)}"
        )
    index = _integer(evidence, "index", "evidence", rfc6962.MAX_SIZE)
    log_root = rfc6962.root_from_inclusion(
        index, checkpoint.size, rfc6962.leaf_hash(root), _inclusion_path(evidence)
    )
    if log_root != checkpoint.root:
        raise LogRootMismatchError("the inclusion path leads to another root than the checkpoint's")
    return LogInclusion(checkpoint.origin, index, checkpoint.size, log_root)


def _inclusion_path(evidence: dict[str, object]) -> list[bytes]:
    path = evidence.get("inclusion")
    if type(path) is not list or len(path) > MAX_LOG_PATH:
        raise MemberError(f"evidence.inclusion is not a list of at most {MAX_LOG_PATH} hashes")
    for item in path:
        merkle.hex_hash(item, "evidence.inclusion")
    raw = bytes.fromhex("".join(path))
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


def _note(evidence: dict[str, object]) -> bytes:
    checkpoint = evidence.get("checkpoint")
    if type(checkpoint) is not str:
        raise MemberError("evidence.checkpoint is missing or not text")
    try:
        return checkpoint.encode()
    except UnicodeEncodeError as error:  # JSON can escape half of a surrogate pair
        raise MemberError("evidence.checkpoint holds a lone surrogate") from error


def _log_remaining(checkpoint: Checkpoint, tree: ClaimedTree) -> tuple[str, ...]:
    if checkpoint.log_key is not None and checkpoint.cosignatures:
        return ()
    origin, when = quoted(checkpoint.origin), utc_text(tree.timestamp_ms)
    if checkpoint.log_key is None:
        unknown = f"No key of the log {origin} was given, so nothing says that it holds the root"
        return (f"{unknown}; the time {when} is only what the proof says.",)
    unsigned = f"The log {origin} holds the root, but no key was given that signed a time"
    return (f"{unsigned}; {when} is only what the proof says.",)


def _untied(branch: Branch, tree: ClaimedTree, reason: str) -> Established:
    return Established(
        branch.leaf, branch.root, branch.levels, tree, None, None, None, remaining=(reason,)
    )


def _unchecked(tree: ClaimedTree) -> str:
    return (
        f"That the root is in {quoted(tree.currency)} transaction {quoted(tree.transaction)} and "
        f"dates from {utc_text(tree.timestamp_ms)} is only what the proof says."
    )


def _claimed_tree(tree: dict[str, object]) -> ClaimedTree:
    status = _integer(tree, "submitStatus", "tree", _VERIFIED)
    if status != _VERIFIED:
        raise SubmitStatusError(f"tree.submitStatus is {status}; a proof needs {_VERIFIED}")
    return ClaimedTree(
        tree_id=_text(tree, "treeId", "tree"),
        currency_id=_integer(tree, "currencyId", "tree", 2**31 - 1),
        currency=_text(tree, "currency", "tree"),
        timestamp_ms=_integer(tree, "timestamp", "tree", _MAX_TIMESTAMP_MS),
        transaction=_text(tree, "transaction", "tree"),
    )


def _members(value: object, name: str) -> dict[str, object]:
    if type(value) is not dict:
        raise MemberError(f"{name} is missing or not an object")
    return value


def _text(members: dict[str, object], name: str, owner: str) -> str:
    value = members.get(name)
    if type(value) is not str or not 0 < len(value) <= _MAX_TEXT_CHARS:
        raise MemberError(f"{owner}.{name} is not text of 1 to {_MAX_TEXT_CHARS} characters")
    return value


def _integer(members: dict[str, object], name: str, owner: str, largest: int) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 <= value <= largest:  # a bool is no number here
        raise MemberError(f"{owner}.{name} is not a whole number from 0 to {largest}")
    return value
