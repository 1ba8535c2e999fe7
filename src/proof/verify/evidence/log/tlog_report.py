"""What the verifier tells of a tlog-proof, in the manner of `proof.verify.report`."""

import json

from proof.verify.errors import quoted
from proof.verify.evidence.log.report import (
    log_facts,
    log_sentence,
    signature_step,
    time_step,
)
from proof.verify.evidence.log.tlog_proof import EstablishedTlogProof
from proof.verify.report import Subject, subject_name, subject_step


def text(established: EstablishedTlogProof, subject: Subject) -> str:
    """The numbered account: what was checked, what is established, what remains."""
    lines = [f" {number}. {line}" for number, line in enumerate(_steps(established, subject), 1)]
    lines += ["", f"Established: {_sentence(established, subject)}"]
    lines += [f"Not established: {sentence}" for sentence in established.remaining]
    return "\n".join(lines)


def as_json(established: EstablishedTlogProof, subject: Subject, exit_code: int) -> str:
    """The same facts as one JSON object, its members those of `proof.verify.report.as_json`."""
    facts = {
        "result": "tied" if established.tied else "untied",
        "exitCode": exit_code,
        "format": "tlog-proof",
        "sha256": established.leaf.hex(),
        "rootSha256": established.root.hex(),
        "levels": established.levels,
        "log": log_facts(established.inclusion, established.checkpoint),
        "signedBy": established.signed_by,
        "timestamp": established.timestamp_ms,
        "compared": subject.sha256 is not None,
        "remaining": list(established.remaining),
    }
    return json.dumps(facts, indent=2)


def _steps(established: EstablishedTlogProof, subject: Subject) -> list[str]:
    log, checkpoint = established.inclusion, established.checkpoint
    return [
        "ok  The proof is a tlog-proof@v1, of one meaning and bounded.",
        (
            f"ok  Every hash of its {established.levels} levels, recomputed, leads from the leaf"
            f"\n             {established.leaf.hex()}"
            f"\n             to the plain root {log.plain_root.hex()}."
        ),
        (
            f"ok  Entry {log.index} of {log.size} in the log {quoted(log.origin)} ends in that plain root."
            f"\n             It begins with {established.root.hex()},"
            "\n             in the place of the round's other root; nothing above rests on it."
        ),
        signature_step(checkpoint, established.signed_by),
        time_step(checkpoint, established.timestamp_ms),
        subject_step(subject),
    ]


def _sentence(established: EstablishedTlogProof, subject: Subject) -> str:
    name = subject_name(established.leaf, subject)
    if established.signed_by is None:
        return f"{name} is under the plain root above."
    when_ms, checkpoint = established.timestamp_ms, established.checkpoint
    return log_sentence(name, established.signed_by, checkpoint, when_ms)
