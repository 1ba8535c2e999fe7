"""What is told of evidence of the log."""

from proof.verify.errors import quoted
from proof.verify.established import Established, LogInclusion, plain_root_text, utc_text
from proof.verify.evidence.log.checkpoint import Checkpoint, Line, counts_for_time
from proof.verify.evidence.log.evidence import missing_text
from proof.verify.evidence.log.note import end_of_second_ms
from proof.verify.evidence.log.policy import Log, Witness

_NEXT_LINE = "\n             "


def log_facts(
    inclusion: LogInclusion | None, checkpoint: Checkpoint | None
) -> dict[str, object] | None:
    """`signatures` are the checkpoint's lines in their order; `quorum` is the caller's, not the proof's."""
    if inclusion is None or checkpoint is None:
        return None
    return {
        "origin": inclusion.origin,
        "index": inclusion.index,
        "size": inclusion.size,
        "rootSha256": inclusion.root.hex(),
        "plainRoot": inclusion.plain_root.hex(),
        "signatures": [_line_facts(line) for line in checkpoint.lines],
        "quorum": {
            "name": checkpoint.policy.quorum,
            "reached": checkpoint.quorum_reached,
            "missing": [witness.name for witness in checkpoint.missing],
        },
    }


def _line_facts(line: Line) -> dict[str, object]:
    """`signer` is `log` or `witness` of a valid line, null of one whose key was not given: not checked."""
    dated = line.time_s is not None and counts_for_time(line.time_s)
    return {
        "name": line.name,
        "keyId": line.key_hash.hex(),
        "signer": None if line.signer is None else type(line.signer).__name__.lower(),
        "witness": line.signer.name if isinstance(line.signer, Witness) else None,
        "timestamp": end_of_second_ms(line.time_s) if line.time_s and dated else None,
    }


def inclusion_step(established: Established) -> str:
    log = established.inclusion
    if log is None:
        return "--  No evidence was checked that the root is in a log or a chain."
    return (
        f"ok  Entry {log.index} of {log.size} in the log {quoted(log.origin)} is the root and, behind it,"
        f"{_NEXT_LINE}{plain_root_text(log.plain_root)}."
    )


def signature_step(checkpoint: Checkpoint | None, signed_by: str | None) -> str:
    lines = "" if checkpoint is None else "".join(map(_line_text, checkpoint.lines))
    if signed_by is None:
        return f"--  No signature was checked under a key you gave.{lines}"
    return f"ok  The log's root is signed by the key you gave for {quoted(signed_by)}.{lines}"


def _line_text(line: Line) -> str:
    return f"{_NEXT_LINE}{quoted(line.name)} {line.key_hash.hex()}: {_verdict(line)}"


def _verdict(line: Line) -> str:
    if line.signer is None:
        return "not checked, its key was not given"
    if isinstance(line.signer, Log) or line.time_s is None:
        return "a log's, valid"
    if not counts_for_time(line.time_s):
        return "cosigned without a time, valid"
    return f"cosigned {utc_text(line.time_s * 1000)}, valid"


def time_step(checkpoint: Checkpoint | None, timestamp_ms: int | None) -> str:
    if checkpoint is None or checkpoint.log_key is None:
        return "--  No time was checked under a key you gave."
    if timestamp_ms is None:
        return f"--  {_untimed(checkpoint)}."
    second = utc_text(timestamp_ms - 1000)
    return f"ok  {_who_cosigned(checkpoint)} within the second that began at {second}."


def _untimed(checkpoint: Checkpoint) -> str:
    if not checkpoint.quorum_reached:
        return f"The quorum of cosigners is not reached: {missing_text(checkpoint)}"
    if checkpoint.policy.quorum is None:
        return "No time was checked under a key you gave"
    return "Nobody of the quorum signed a time that counts"


def _who_cosigned(checkpoint: Checkpoint) -> str:
    last = [each for each in checkpoint.cosignatures if each.time_s == checkpoint.cosigned_time_s]
    if any(checkpoint.policy.satisfied({each.witness}) for each in last):
        return "A cosigner you gave signed it"
    return "The quorum of cosigners signed it, the last of them"


def log_sentence(
    name: str, signed_by: str, checkpoint: Checkpoint | None, when_ms: int | None
) -> str:
    """What is established of something that the log `signed_by` has signed."""
    log = quoted(signed_by)
    if when_ms is not None:
        return f"{name} existed by {utc_text(when_ms)}, as the log {log} recorded."
    if checkpoint is not None and not checkpoint.quorum_reached:
        return f"{name} is in what the log {log} signed without your quorum, at an unproved time."
    return f"{name} is recorded in the log {log}, at an unproved time."
