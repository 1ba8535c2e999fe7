"""Evidence of type `log`: the root is an entry of a transparency log.

Source: the timestamp API contract, "POST /v1/proof" (payload and evidence).
"""

from functools import lru_cache
from typing import Final

from proof.verify.errors import (
    CurrencyMismatchError,
    LogRootMismatchError,
    MemberError,
    OriginMismatchError,
    TransactionMismatchError,
    quoted,
)
from proof.verify.established import ClaimedTree, Established, LogInclusion, utc_text
from proof.verify.evidence.log import rfc6962
from proof.verify.evidence.log.checkpoint import Checkpoint, verify_checkpoint
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.policy import Policy
from proof.verify.merkle import Branch
from proof.verify.strict_json import decode_hashes, hex_hash, integer, text, text_list

LOG_CURRENCY_ID: Final = 900

LOG_CURRENCY: Final = "LOG"

_MOST_NAMED: Final = 8

MAX_LOG_PATH: Final = 63  # the levels of the largest log, 2^63 - 1 entries


def verify_log(
    branch: Branch,
    tree: ClaimedTree,
    evidence: dict[str, object],
    policy: Policy,
    ed25519_verify: Ed25519Verify,
    mldsa44_verify: Mldsa44Verify,
) -> Established:
    """Steps 5 to 7 of `verify_payload`. The log's entry is 64 raw bytes: the round's root, then its plain
    root, which the evidence names and nothing here rests on.

    `tree.timestamp` is the publisher's claim and is not compared: what is established is the time by which
    the policy's quorum had cosigned, and a third party's may be later.
    """
    checkpoint = verify_checkpoint(  # signatures of 6, 7
        _note(evidence), policy, ed25519_verify, mldsa44_verify
    )
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
    signed = checkpoint.log_key is not None  # 6
    existed_by_ms = checkpoint.existed_by_ms if signed else None  # 7
    return Established.of(
        branch,
        tree,
        existed_by_ms,
        () if existed_by_ms is not None else (_remaining(checkpoint, tree),),
        inclusion=inclusion,
        signed_by=checkpoint.origin if signed else None,
        checkpoint=checkpoint,
    )


def _verify_inclusion(
    root: bytes, evidence: dict[str, object], checkpoint: Checkpoint
) -> LogInclusion:
    origin = text(evidence, "origin", "evidence")
    if origin != checkpoint.origin:
        raise OriginMismatchError(
            f"evidence.origin is {quoted(origin)}, but the checkpoint is of "
            f"{quoted(checkpoint.origin)}"
        )
    index = integer(evidence, "index", "evidence", rfc6962.MAX_SIZE)
    plain_root = bytes.fromhex(hex_hash(evidence.get("plainRoot"), "evidence.plainRoot"))
    path = text_list(evidence.get("inclusion"), "evidence.inclusion", MAX_LOG_PATH)
    log_root = _log_root(index, checkpoint.size, root + plain_root, tuple(path))
    if log_root != checkpoint.root:
        raise LogRootMismatchError(
            "the inclusion path leads from the entry, the root and then the plain root, to another root"
            " than the checkpoint's"
        )
    return LogInclusion(checkpoint.origin, index, checkpoint.size, log_root, plain_root)


# All proofs of one round come with the same path. It is arithmetic on its arguments alone, and what it
# leads to is compared with the signed root each time.
@lru_cache(maxsize=64)
def _log_root(index: int, size: int, entry: bytes, path: tuple[str, ...]) -> bytes:
    hashes = decode_hashes(path, "evidence.inclusion")
    return rfc6962.root_from_inclusion(index, size, rfc6962.leaf_hash(entry), hashes)


def _note(evidence: dict[str, object]) -> bytes:
    checkpoint = evidence.get("checkpoint")
    if type(checkpoint) is not str:
        raise MemberError("evidence.checkpoint is missing or not text")
    try:
        return checkpoint.encode()
    except UnicodeEncodeError as error:  # JSON can escape half of a surrogate pair
        raise MemberError("evidence.checkpoint holds a lone surrogate") from error


def _remaining(checkpoint: Checkpoint, tree: ClaimedTree) -> str:
    when = utc_text(tree.timestamp_ms)
    return f"{untied_reason(checkpoint)}; the time {when} is only what the proof says."


def untied_reason(checkpoint: Checkpoint) -> str:
    """Why a checkpoint that was not refused establishes no time; a sentence without its full stop."""
    origin = quoted(checkpoint.origin)
    if checkpoint.log_key is None:
        return f"No key of the log {origin} was given, so nothing says that it holds the root"
    if not checkpoint.quorum_reached:
        return (
            f"The log {origin} signed that it holds the root, but not the quorum of cosigners"
            f" ({missing_text(checkpoint)}), so others may have been shown another history"
        )
    return f"The log {origin} holds the root, but no cosigner that counts for you signed a time"


def missing_text(checkpoint: Checkpoint) -> str:
    """Which of those who could contribute to the quorum did not cosign, in words for people."""
    names = [quoted(witness.name) for witness in checkpoint.missing]
    listed = ", ".join(names[:_MOST_NAMED])
    others = len(names) - _MOST_NAMED
    more = f" and {others} more" if others > 0 else ""
    return f"without {listed}{more}"
