"""What is told of evidence of the log."""

from proof.verify.errors import quoted
from proof.verify.established import (
    Established,
    plain_root_text,
    utc_text,
)


def log_facts(established: Established) -> dict[str, object] | None:
    inclusion = established.inclusion
    return (
        None
        if inclusion is None
        else {
            "origin": inclusion.origin,
            "index": inclusion.index,
            "size": inclusion.size,
            "rootSha256": inclusion.root.hex(),
            "plainRoot": inclusion.plain_root.hex(),
        }
    )


def inclusion_step(established: Established) -> str:
    log = established.inclusion
    if log is None:
        return "--  No evidence was checked that the root is in a log or a chain."
    return (
        f"ok  Entry {log.index} of {log.size} in the log {quoted(log.origin)} is the root and, behind it,"
        f"\n             {plain_root_text(log.plain_root)}."
    )


def signature_step(established: Established) -> str:
    if established.signed_by is None:
        return "--  No signature was checked under a key you gave."
    return f"ok  The log's root is signed by the key you gave for {quoted(established.signed_by)}."


def time_step(established: Established) -> str:
    if established.timestamp_ms is None:
        return "--  No time was checked under a key you gave."
    second = utc_text(established.timestamp_ms - 1000)
    return f"ok  A cosigner you gave signed it within the second that began at {second}."
