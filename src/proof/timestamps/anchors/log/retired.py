"""The SQL of closing a log, and of those that are closed."""

from dataclasses import dataclass
from datetime import datetime

from proof.db import Connection
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.tree import append
from proof.verify.evidence.log.checkpoint import CheckpointBody
from proof.verify.evidence.log.rfc6962 import leaf_hash


@dataclass(frozen=True, slots=True)
class RetiredLog:
    """A log that is closed. `note`: its final checkpoint, of `size` entries, the first `kept_size` of which
    are here; `number` counts the logs of an environment from 1; `successor`: the origin of the next."""

    log_id: int
    number: int
    origin: str
    size: int
    root: bytes
    note: bytes
    kept_size: int
    reason: str
    retired_at: datetime
    successor: str


_RETIRED = """
SELECT l.id, l.number, l.origin, l.final_size, l.final_root, convert_to(l.final_note, 'UTF8'),
    l.kept_size, l.reason, l.retired_at, next.origin
FROM logs l JOIN logs next ON next.environment = l.environment AND next.number = l.number + 1
WHERE l.environment = $1 AND l.retired_at IS NOT NULL ORDER BY l.number
"""
_RETIRE = """
UPDATE logs SET retired_at = $2, reason = $3, final_size = $4, final_root = $5, final_note = $6,
    kept_size = $7
WHERE id = $1
"""
_FOLLOW = """
WITH made AS (
    INSERT INTO logs (environment, number, label, origin)
    SELECT environment, number + 1, environment || '-' || number + 1, $2 FROM logs WHERE id = $1
    RETURNING id
)
INSERT INTO log_heads (log_id, size, root) SELECT id, 1, $3 FROM made
"""


async def logs(connection: Connection, environment: str) -> list[RetiredLog]:
    """The closed logs of an environment, in their order."""
    rows = await connection.fetch(_RETIRED, environment)
    return [RetiredLog(*row) for row in rows]


async def retire(
    tx: Connection,
    log_id: int,
    at: datetime,
    reason: str,
    final: CheckpointBody,
    note: bytes,
    kept_size: int,
) -> None:
    await tx.execute(_RETIRE, log_id, at, reason, final.size, final.root, note.decode(), kept_size)


async def follow(tx: Connection, log_id: int, origin: str, entry: bytes) -> None:
    """Make the log that follows one which was retired in this transaction, with its first entry."""
    leaf = leaf_hash(entry)
    await tx.execute(_FOLLOW, log_id, origin, leaf)
    made: int = await tx.fetchval("SELECT id FROM logs WHERE origin = $1", origin)
    await tx.execute(
        "INSERT INTO log_entries (log_id, position, entry) VALUES ($1, 0, $2)", made, entry
    )
    await queries.store_tiles(tx, made, append(0, {}, [leaf]))


async def log_again(tx: Connection, log_id: int, first: int) -> None:
    """Have the rounds from a position on logged again, in the log that is current now."""
    await tx.execute(
        "UPDATE rounds SET logged = false WHERE id IN"
        " (SELECT round_id FROM log_entries WHERE log_id = $1 AND position >= $2)",
        log_id,
        first,
    )


async def count_rounds(connection: Connection, log_id: int, first: int) -> int:
    """How many rounds a log has from a position on."""
    count: int = await connection.fetchval(
        "SELECT count(round_id) FROM log_entries WHERE log_id = $1 AND position >= $2",
        log_id,
        first,
    )
    return count


async def origin_is_taken(connection: Connection, origin: str) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM logs WHERE origin = $1)", origin
    )
    return found
