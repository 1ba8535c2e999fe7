"""What is told of an upstream's proof: what is told of it alone, by whoever made its evidence."""

from proof.verify.established import UpstreamInclusion
from proof.verify.evidence.account import (
    claimed_facts,
    evidence_facts,
    evidence_steps,
    time_witness,
)


def upstream_facts(found: UpstreamInclusion) -> dict[str, object]:
    inner = found.proof
    return {
        "rootSha256": inner.root.hex(),
        "levels": inner.levels,
        **evidence_facts(inner),
        "signedBy": inner.signed_by,
        "timestamp": inner.timestamp_ms,
        "claimed": claimed_facts(inner.claimed),
    }


def upstream_steps(found: UpstreamInclusion) -> list[str]:
    inner = found.proof
    levels = f"Every hash of its {inner.levels} levels, recomputed, is right"
    levels = f"Every hash of its {inner.levels} levels, recomputed, is right"
    return [
        "ok  The root is what an upstream's proof, which the evidence holds, is about.",
        f"ok  {levels}. They lead down to it\n             from the root {inner.root.hex()}.",
        *evidence_steps(inner),
        *(["ok  The upstream's proof is one you named."] if found.named else []),
    ]


def upstream_witness(found: UpstreamInclusion) -> str:
    return (
        "as an upstream's proof that you named says" if found.named else time_witness(found.proof)
    )
