"""What the committer works on."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from proof.timestamps.types import TreeRef


@dataclass(frozen=True, slots=True, eq=False)
class OpenRound:
    """A round this process opened and nobody has sealed yet, as far as it knows."""

    id: int
    trees: tuple[TreeRef, ...]


@dataclass(slots=True)
class PendingSubmission:
    """One request waiting for its commit: distinct digests, in the order they were sent."""

    partner_environment_id: int
    environment: str
    digests: list[bytes]
    done: "asyncio.Future[CommitResult]"


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one commit did with one request."""

    round: OpenRound
    created_at: datetime
    known: frozenset[bytes]
