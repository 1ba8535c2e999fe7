"""What can be found wrong with a log, each by its name."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from proof.core.errors import ProofError


class Fault(StrEnum):
    """The kinds, in the words of reports and metrics."""

    EMPTY = "empty"
    """It has no checkpoint yet."""
    UNREACHABLE = "unreachable"
    """It does not answer, or not in time."""
    ROLLBACK = "rollback"
    """It shows a checkpoint older than one that was seen."""
    FORK = "fork"
    """It signed two histories."""
    KEY = "key"
    """Its checkpoint is not signed by the key that is trusted."""
    QUORUM = "quorum"
    """Its checkpoint lacks the cosignatures that the policy asks for."""
    STALE = "stale"
    """It stands still."""
    ALTERED = "altered"
    """A tile or an entry is not the one that its checkpoint signs."""
    BROKEN = "broken"
    """What a checkpoint needs is missing, or has a form that no log serves."""


class LogFaultError(ProofError):
    """A fault, in plain words; `evidence` is what shows it to others, as JSON has it."""

    def __init__(
        self, fault: Fault, message: str, evidence: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.evidence = dict(evidence or {})
