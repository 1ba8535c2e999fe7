"""What is stopped behind the processes that answer: workers, the logs, the chains.

None of it keeps a hash from being accepted, so none of it is a reason to send callers elsewhere; somebody
has to look after it all the same.
"""

from dataclasses import dataclass
from typing import Any

from proof.core.clock import readable_text
from proof.db import Connection, Database
from proof.db.heartbeats import ALIVE_S, alive
from proof.timestamps.types import Currency

# A checkpoint follows a sealed round within a second, unless something is wrong.
UNSIGNED_S = 30

_UNSIGNED = """
SELECT l.environment, extract(epoch FROM now() - min(r.sealed_at))::int AS age_s
FROM logs l
LEFT JOIN rounds r ON r.environment = l.environment AND r.sealed_at IS NOT NULL AND r.id IN (
    SELECT e.round_id FROM log_entries e WHERE e.log_id = l.id AND e.position >=
        (SELECT coalesce(max(size), 0) FROM log_checkpoints c WHERE c.log_id = l.id)
    UNION ALL
    SELECT id FROM rounds WHERE environment = l.environment AND sealed_at IS NOT NULL AND NOT logged)
WHERE l.retired_at IS NULL
GROUP BY l.environment ORDER BY l.environment
"""

_CHAINS = """
SELECT t.environment, t.currency_id, known.message, known.since
FROM (SELECT DISTINCT environment, currency_id FROM trees
      WHERE closed_at IS NULL AND currency_id <> $1) t
LEFT JOIN chain_troubles known USING (environment, currency_id)
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an installation, and why it is stopped; None while it works."""

    name: str
    reason: str | None


async def parts(database: Database) -> list[Part]:
    """Every part, working or not. Raises UnavailableError: then nothing is known."""
    async with database.connection() as connection:
        return [
            *await _workers(connection),
            *map(_log, await connection.fetch(_UNSIGNED)),
            *map(_chain, await connection.fetch(_CHAINS, Currency.LOG)),
        ]


async def _workers(connection: Connection) -> list[Part]:
    workers = await alive(connection)
    if not workers:
        return [Part("workers", f"no worker has been alive for {ALIVE_S} s")]
    failing = {name: text for worker in workers for name, text in worker.failing.items()}
    reason = "; ".join(f"{name}: {text}" for name, text in sorted(failing.items()))
    return [Part("workers", None), Part("work", reason or None)]


def _log(row: Any) -> Part:
    age_s = row["age_s"]
    stopped = age_s is not None and age_s > UNSIGNED_S
    reason = f"rounds have waited for a checkpoint for {age_s} s" if stopped else None
    return Part(f"{row['environment']} log", reason)


def _chain(row: Any) -> Part:
    name = f"{row['environment']} {Currency(row['currency_id']).name}"
    if row["message"] is None:
        return Part(name, None)
    return Part(name, f"waits since {readable_text(row['since'])}: {row['message']}")
