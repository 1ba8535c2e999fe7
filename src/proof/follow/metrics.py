"""A monitor's findings for Prometheus, as a file for node_exporter's textfile collector."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from proof.follow.faults import Fault
from proof.follow.files import put
from proof.follow.monitor import Round


def write(path: Path, origin: str, found: Round) -> None:
    """Replace the file. Raises OSError."""
    registry = CollectorRegistry()

    def gauge(name: str, about: str, value: float) -> None:
        Gauge(name, about, ["log"], registry=registry).labels(origin).set(value)

    gauge("proof_follow_checked_timestamp_seconds", "Last look at the log", found.at.timestamp())
    gauge(
        "proof_follow_log_size", "Entries that were verified", found.kept.size if found.kept else 0
    )
    gauge("proof_follow_entries_hashed", "Entries that were hashed again", found.entries)
    if found.grew_at is not None:
        gauge(
            "proof_follow_grown_timestamp_seconds", "When it last grew", found.grew_at.timestamp()
        )
    faults = Gauge("proof_follow_fault", "1: this is wrong", ["log", "fault"], registry=registry)
    for fault in Fault:
        faults.labels(origin, fault).set(fault is found.fault)
    put(path, generate_latest(registry))
