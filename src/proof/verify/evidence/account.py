"""What is told of evidence, whatever its kind: facts for programs, steps and a witness for people."""

from proof.verify.errors import quoted
from proof.verify.established import ClaimedTree, Established
from proof.verify.evidence.kinds import kinds
from proof.verify.evidence.log.report import inclusion_step, log_facts, signature_step, time_step


def evidence_facts(established: Established) -> dict[str, object]:
    """Every kind's facts by its type; None for all but the evidence's own."""
    found = established.found
    return {
        "log": log_facts(established.inclusion, established.checkpoint),
        **{
            name: kind.facts(found) if found is not None and found.kind == name else None
            for name, kind in kinds().items()
        },
    }


def claimed_facts(claimed: ClaimedTree) -> dict[str, object]:
    """What a payload's `tree` claims."""
    return {
        "treeId": claimed.tree_id,
        "currencyId": claimed.currency_id,
        "currency": claimed.currency,
        "timestamp": claimed.timestamp_ms,
        "transaction": claimed.transaction,
    }


def evidence_steps(established: Established) -> list[str]:
    """The lines of the account, without numbers."""
    if established.found is not None:
        return kinds()[established.found.kind].steps(established.found)
    return [
        inclusion_step(established),
        signature_step(established.checkpoint, established.signed_by),
        time_step(established.checkpoint, established.timestamp_ms),
    ]


def time_witness(established: Established) -> str:
    """What makes the time of a tied proof true, at the end of a sentence."""
    if established.found is not None:
        return kinds()[established.found.kind].witness(established.found)
    return f"as the log {quoted(established.signed_by or '')} recorded"
