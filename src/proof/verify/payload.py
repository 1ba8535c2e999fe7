"""The proof payload: what it establishes about one SHA-256, and what it does not.

Source: the timestamp API contract, "POST /v1/proof" (payload and evidence) and "What verifying
says".
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from proof.verify import merkle
from proof.verify.errors import (
    LeafMismatchError,
    RootMismatchError,
    SubmitStatusError,
    quoted,
)
from proof.verify.established import ClaimedTree, Established, LogInclusion, utc_text
from proof.verify.evidence.kinds import Caller, kinds
from proof.verify.evidence.log import ed25519, mldsa44
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.evidence import (
    LOG_CURRENCY,
    LOG_CURRENCY_ID,
    MAX_LOG_PATH,
    verify_log,
)
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy, policy_of_keys
from proof.verify.merkle import Branch
from proof.verify.strict_json import hex_hash, integer, members, parse_json, text
from proof.verify.trust import NO_CHAINS, ChainTrust

__all__ = [
    "LOG_CURRENCY",
    "LOG_CURRENCY_ID",
    "MAX_LOG_PATH",
    "ClaimedTree",
    "Established",
    "LogInclusion",
    "read_branch",
    "utc_text",
    "verify_payload",
]

LOG: Final = "log"

_VERIFIED: Final = 3
_MAX_TIMESTAMP_MS: Final = 253_402_300_799_999  # the end of the year 9999


def verify_payload(
    raw: bytes | dict[str, object],
    *,
    log_keys: Sequence[VerifierKey] = (),
    policy: Policy | None = None,
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
    chains: ChainTrust = NO_CHAINS,
) -> Established:
    """Verify a proof payload and return what it establishes, tied to what the caller trusts or not.

    `raw` is the payload's JSON (UTF-8, at most 1 MiB), or that JSON already parsed; a parsed one
    escapes the refusals of `parse_json`. `log_keys` are the keys the caller trusts, of logs and of
    cosigners, of whom any will do; with a `policy`, the cosigners are those of the policy alone, and log
    keys count beside its own. `chains`: what the caller trusts of chains. Nothing in the payload adds to
    any of them.

    1. The text is strict JSON: one meaning, bounded.
    2. `sha256`, `tree` and `branch` are there and well-formed; the tree is verified (status 3).
    3. Every hash of the branch is recomputed, from its root down to its leaf.
    4. The leaf is the payload's `sha256`, the root is `tree.rootSha256`.
    5. Evidence of type `log`: the root is in the log, at the index that `tree` names. `bitcoin`,
       `ethereum`: the root is in the transaction that `tree` names. `rfc3161`: the root is what the
       token that `tree` names is over. `upstream`: the root is the hash that the proof inside is about.
    6. The log's root is signed by a trusted log key. The transaction is in the block, whose header
       has the work it should have (Bitcoin) and the time that `tree` names. The token's digests and its
       signature are right. A proof inside is verified by these very steps.
    7. The time is the end of the earliest second by which a quorum of trusted cosigners had signed;
       `tree.timestamp` is the publisher's claim and may be another. The block is one of the trusted
       headers, or its hash is trusted. The certificate that the token is signed with is trusted.

    Raises a subclass of RefusedError for each malformation or contradiction. What cannot be
    checked for want of evidence, keys, headers or hashes is not refused: it is named in `remaining`.
    Evidence of a test network that `chains` does not name is refused (OtherNetworkError), and so is
    a lone main-network header under the difficulty floor (LowDifficultyError).

    Ignored: unknown members of the payload, of `tree` and of `evidence`. Not checked: `treeId`,
    what the leaf is a hash of, and, without evidence, all that `tree` says beside its root.
    """
    payload = members(parse_json(raw) if isinstance(raw, bytes) else raw, "the proof")  # 1
    branch, tree = read_branch(payload)  # 2, 3, 4
    if "evidence" not in payload:
        reason = "The proof carries no evidence."
        return Established.of(branch, tree, None, (f"{reason} {_unchecked(tree)}",))
    evidence = members(payload["evidence"], "evidence")
    name = text(evidence, "type", "evidence")
    if name == LOG:
        trusted = _policy(policy, log_keys)
        return verify_log(  # 5, 6, 7
            branch, tree, evidence, trusted, ed25519_verify, mldsa44_verify
        )
    kind = kinds().get(name)
    if kind is None:
        reason = f"This verifier does not know evidence of type {quoted(name)}."
        return Established.of(branch, tree, None, (f"{reason} {_unchecked(tree)}",))
    inside = partial(
        verify_payload,
        log_keys=log_keys,
        policy=policy,
        ed25519_verify=ed25519_verify,
        mldsa44_verify=mldsa44_verify,
        chains=chains,
    )
    return kind.verify(branch, tree, evidence, Caller(chains, inside))  # 5, 6, 7


def _policy(policy: Policy | None, log_keys: Sequence[VerifierKey]) -> Policy:
    if policy is None:
        return policy_of_keys(tuple(log_keys))
    return policy.with_logs(log_keys) if log_keys else policy


def read_branch(payload: dict[str, object]) -> tuple[Branch, ClaimedTree]:
    """Steps 2 to 4 of `verify_payload`: the recomputed branch, and the tree as it is claimed."""
    leaf = hex_hash(payload.get("sha256"), "sha256")  # 2
    tree_members = members(payload.get("tree"), "tree")
    root = hex_hash(tree_members.get("rootSha256"), "tree.rootSha256")
    tree = _claimed_tree(tree_members)
    branch = merkle.verify_branch(payload.get("branch"))  # 3
    if branch.leaf.hex() != leaf:  # 4
        raise LeafMismatchError("the branch ends in another hash than the proof's sha256")
    if branch.root.hex() != root:
        raise RootMismatchError("the branch starts from another root than tree.rootSha256")
    return branch, tree


def _unchecked(tree: ClaimedTree) -> str:
    return (
        f"That the root is in {quoted(tree.currency)} transaction {quoted(tree.transaction)} and "
        f"dates from {utc_text(tree.timestamp_ms)} is only what the proof says."
    )


def _claimed_tree(tree: dict[str, object]) -> ClaimedTree:
    status = integer(tree, "submitStatus", "tree", _VERIFIED)
    if status != _VERIFIED:
        raise SubmitStatusError(f"tree.submitStatus is {status}; a proof needs {_VERIFIED}")
    return ClaimedTree(
        tree_id=text(tree, "treeId", "tree"),
        currency_id=integer(tree, "currencyId", "tree", 2**31 - 1),
        currency=text(tree, "currency", "tree"),
        timestamp_ms=integer(tree, "timestamp", "tree", _MAX_TIMESTAMP_MS),
        transaction=text(tree, "transaction", "tree"),
    )
