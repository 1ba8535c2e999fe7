"""What is stopped behind the processes that answer: workers, the logs, the chains.

None of it keeps a hash from being accepted, so none of it is a reason to send callers elsewhere; somebody
has to look after it all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proof.core.clock import readable_text
from proof.db import Connection, Database
from proof.db.heartbeats import ALIVE_S, alive
from proof.timestamps.anchors.log.queries import WitnessState
from proof.timestamps.types import Currency

# A checkpoint follows a sealed round within a second, unless something is wrong.
UNSIGNED_S = 30

_UNSIGNED = """
SELECT l.environment, extract(epoch FROM now() - min(r.sealed_at))::int AS age_s,
    (SELECT policy FROM log_policies p WHERE p.log_id = l.id ORDER BY p.size DESC LIMIT 1) AS policy
FROM logs l
LEFT JOIN rounds r ON r.environment = l.environment AND r.sealed_at IS NOT NULL AND r.id IN (
    SELECT e.round_id FROM log_entries e WHERE e.log_id = l.id AND e.position >=
        (SELECT coalesce(max(size), 0) FROM log_checkpoints c WHERE c.log_id = l.id)
    UNION ALL
    SELECT id FROM rounds WHERE environment = l.environment AND sealed_at IS NOT NULL AND NOT logged)
WHERE l.retired_at IS NULL
GROUP BY l.id ORDER BY l.environment
"""

_CHAINS = """
SELECT t.environment, t.currency_id, known.message, known.since
FROM (SELECT DISTINCT environment, currency_id FROM trees
      WHERE closed_at IS NULL AND currency_id <> $1) t
LEFT JOIN chain_troubles known USING (environment, currency_id)
ORDER BY 1, 2
"""


_WITNESSES = """
SELECT l.environment, url, names, size, succeeded_at, failing_since, error,
       extract(epoch FROM now() - failing_since)::int AS age_s
FROM log_witnesses w JOIN logs l ON l.id = w.log_id WHERE l.retired_at IS NULL ORDER BY 1, 2
"""

_UNWITNESSED = "without witnesses: only the marks of this machine keep it from a second history"
_CHOSEN = "without witnesses, as its policy says: none"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an installation, and why it is stopped; None while it works. `note` is what to know of it
    all the same."""

    name: str
    reason: str | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LogWitness:
    """A witness of an environment's log; `failing_s`: for how long it has not cosigned."""

    environment: str
    state: WitnessState
    failing_s: int | None


async def parts(database: Database) -> list[Part]:
    """Every part, working or not. Raises UnavailableError: then nothing is known."""
    async with database.connection() as connection:
        witnesses = await log_witnesses(connection)
        return [
            *await _workers(connection),
            *(_log(row, witnesses) for row in await connection.fetch(_UNSIGNED)),
            *map(_witness, witnesses),
            *map(_chain, await connection.fetch(_CHAINS, Currency.LOG)),
        ]


async def log_witnesses(connection: Connection) -> list[LogWitness]:
    """The witnesses of all current logs, as their publishers know them."""
    return [
        LogWitness(environment, WitnessState(url, tuple(names), *known), age_s)
        for environment, url, names, *known, age_s in await connection.fetch(_WITNESSES)
    ]


async def _workers(connection: Connection) -> list[Part]:
    workers = await alive(connection)
    if not workers:
        return [Part("workers", f"no worker has been alive for {ALIVE_S} s")]
    failing = {name: text for worker in workers for name, text in worker.failing.items()}
    reason = "; ".join(f"{name}: {text}" for name, text in sorted(failing.items()))
    return [Part("workers", None), Part("work", reason or None)]


def _log(row: Any, witnesses: Sequence[LogWitness]) -> Part:
    age_s = row["age_s"]
    stopped = age_s is not None and age_s > UNSIGNED_S
    reason = f"rounds have waited for a checkpoint for {age_s} s" if stopped else None
    note = None
    if not any(each.environment == row["environment"] for each in witnesses):
        note = _UNWITNESSED if row["policy"] is None else _CHOSEN
    return Part(f"{row['environment']} log", reason, note)


def _witness(witness: LogWitness) -> Part:
    name, state = f"{witness.environment} witness {witness.state.url}", witness.state
    if state.failing_since is None or (witness.failing_s or 0) <= UNSIGNED_S:
        return Part(name, None)
    return Part(name, f"has not cosigned since {readable_text(state.failing_since)}: {state.error}")


def _chain(row: Any) -> Part:
    name = f"{row['environment']} {Currency(row['currency_id']).name}"
    if row["message"] is None:
        return Part(name, None)
    return Part(name, f"waits since {readable_text(row['since'])}: {row['message']}")
