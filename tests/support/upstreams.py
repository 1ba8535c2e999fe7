"""Payloads with an upstream's proof inside, for tests of the verifier; they share no code with it."""

from collections.abc import Callable
from typing import Any

from tests.support import anchored, signer
from tests.support.signer import branch, some_leaves

Payload = dict[str, Any]
ProofOf = Callable[[str], Payload]
"""Makes the payload of a proof about a hash in hex."""


def logged(about: str) -> Payload:
    """By an upstream with the log of `tests.support.signer`."""
    return signer.payload(about=about)


def mined(about: str) -> Payload:
    """By an upstream that writes to the chain of `tests.support.anchored`."""
    return anchored.bitcoin(about=about).payload


def upstream(proof_of: ProofOf = logged, about: str | None = None) -> Payload:
    """A whole valid payload whose evidence is an upstream's proof of its root."""
    leaves = some_leaves(5, about)
    about = about or leaves[2]
    node = branch(leaves, leaves.index(about))
    proof = proof_of(node["sha256"])
    return {
        "sha256": about,
        "tree": {
            "treeId": "0c54b8f4-52a5-4b57-9f0e-4f0a5a3d0f61",
            "currencyId": 902,
            "currency": "UPSTREAM",
            "submitStatus": 3,
            "timestamp": proof["tree"]["timestamp"],
            "rootSha256": node["sha256"],
            "transaction": node["sha256"],
        },
        "branch": node,
        "evidence": {"type": "upstream", "proof": proof},
    }


def nested(levels: int, proof_of: ProofOf = logged, about: str | None = None) -> Payload:
    """The same, with so many upstreams one after the other."""
    if levels == 1:
        return upstream(proof_of, about)
    return upstream(lambda root: nested(levels - 1, proof_of, root), about)
