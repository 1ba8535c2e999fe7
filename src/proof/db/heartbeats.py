"""Worker processes say that they are alive, and what of their work fails; whoever watches reads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from proof.db.types import Connection

# A worker whose last heartbeat is older counts as stopped.
ALIVE_S = 10
_FORGOTTEN = "1 day"

# By the database's clock: machines may disagree about the time.
_BEAT = f"""
WITH forgotten AS (
    DELETE FROM worker_heartbeats WHERE at < now() - interval '{_FORGOTTEN}' AND worker <> $1
)
INSERT INTO worker_heartbeats (worker, at, failing) VALUES ($1, now(), $2::jsonb)
ON CONFLICT (worker) DO UPDATE SET at = excluded.at, failing = excluded.failing
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is alive. `failing`: by the name of a loop, what its last step failed with."""

    id: UUID
    failing: dict[str, str]


async def beat(connection: Connection, worker: UUID, failing: Mapping[str, str]) -> None:
    """Say that this worker is alive."""
    await connection.execute(_BEAT, worker, json.dumps(dict(failing)))


async def stop_beating(tx: Connection, worker: UUID) -> None:
    """Say that this worker has ended in order."""
    await tx.execute("DELETE FROM worker_heartbeats WHERE worker = $1", worker)


async def alive(connection: Connection) -> list[Worker]:
    """The workers that said something within the last ALIVE_S."""
    rows = await connection.fetch(
        "SELECT worker, failing FROM worker_heartbeats"
        f" WHERE at > now() - interval '{ALIVE_S} seconds' ORDER BY worker"
    )
    return [Worker(row["worker"], json.loads(row["failing"])) for row in rows]
