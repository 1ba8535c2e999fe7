"""Evidence of type `upstream`: a whole proof by another Proof, which is about the root.

    {"type": "upstream", "proof": {"sha256", "tree", "branch", "evidence"}}

`proof` is a payload as `verify_payload` reads it, and its `sha256` is the root. Its own evidence may be of
any type, of type `upstream` too: at most MAX_PROOFS stand inside one another.

Source: the timestamp API contract, "POST /v1/proof" (payload and evidence).
"""

import json
from hashlib import sha256
from typing import Final

from proof.verify.errors import (
    CurrencyMismatchError,
    ProofDepthError,
    RefusedError,
    TimestampMismatchError,
    TransactionMismatchError,
    UpstreamHashError,
    quoted,
)
from proof.verify.established import ClaimedTree, Established, UpstreamInclusion
from proof.verify.evidence.kinds import Caller
from proof.verify.merkle import Branch
from proof.verify.strict_json import hex_hash, members

CURRENCY_ID: Final = 902

CURRENCY: Final = "UPSTREAM"

TYPE: Final = UpstreamInclusion.kind

MAX_PROOFS: Final = 4


def verify_upstream(
    branch: Branch, tree: ClaimedTree, evidence: dict[str, object], caller: Caller
) -> Established:
    """Steps 5 to 7 of `verify_payload`, for a root that another Proof has a proof of.

    What is established, the time above all, is what that proof establishes under the same trust; what it
    leaves open remains. A caller that trusts this very proof, by its `proof_hash`, takes its time as it is
    claimed.

    Raises MemberError, HexError; ProofDepthError; UpstreamHashError when the proof is about another hash;
    what `verify_payload` raises for it; CurrencyMismatchError, TransactionMismatchError
    (`tree.transaction` is the root in hex) and TimestampMismatchError when `tree` says otherwise.
    """
    _require_depth(evidence)
    proof = members(evidence.get("proof"), "evidence.proof")
    about = hex_hash(proof.get("sha256"), "evidence.proof.sha256")
    if about != branch.root.hex():  # 5
        raise UpstreamHashError(f"the upstream's proof is about {about}, not about the root")
    inner = _verified(proof, caller)  # 6, 7
    _check_tree(tree, branch.root, inner.claimed)
    named = proof_hash(proof) in caller.chains.blocks.get(TYPE, ())
    timestamp_ms = inner.claimed.timestamp_ms if named else inner.timestamp_ms
    remaining = (
        () if named else tuple(f"Of the upstream's proof: {each}" for each in inner.remaining)
    )
    return Established.of(
        branch,
        tree,
        timestamp_ms,
        remaining,
        signed_by=inner.signed_by,
        found=UpstreamInclusion(inner, named),
        checkpoint=inner.checkpoint,
    )


def proof_hash(proof: dict[str, object]) -> bytes:
    """The SHA-256 of a parsed payload, however it was written: members in the order of their names, no
    spaces, ASCII."""
    return sha256(json.dumps(proof, sort_keys=True, separators=(",", ":")).encode()).digest()


def _require_depth(evidence: object) -> None:
    for _ in range(MAX_PROOFS + 1):
        if type(evidence) is not dict or evidence.get("type") != TYPE:
            return
        proof = evidence.get("proof")
        evidence = proof.get("evidence") if type(proof) is dict else None
    raise ProofDepthError(f"more than {MAX_PROOFS} upstreams' proofs stand inside one another")


def _verified(proof: dict[str, object], caller: Caller) -> Established:
    try:
        return caller.verify(proof)
    except RefusedError as error:
        raise type(error)(f"in the upstream's proof: {error}") from error


def _check_tree(tree: ClaimedTree, root: bytes, inner: ClaimedTree) -> None:
    if tree.currency_id != CURRENCY_ID or tree.currency != CURRENCY:
        raise CurrencyMismatchError(
            f"the evidence is an upstream's proof, but the tree names currency {tree.currency_id} "
            f"({quoted(tree.currency)}) instead of {CURRENCY_ID} ({CURRENCY})"
        )
    if tree.transaction != root.hex():
        raise TransactionMismatchError(
            f"the upstream's proof is about {root.hex()}, but tree.transaction is "
            f"{quoted(tree.transaction)}"
        )
    if tree.timestamp_ms != inner.timestamp_ms:
        raise TimestampMismatchError(
            f"tree.timestamp is {tree.timestamp_ms}, but the upstream's proof claims "
            f"{inner.timestamp_ms}"
        )
