"""The SQL of the log."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from proof.db import Connection
from proof.timestamps.anchors.log.tree import TileName


class Head(NamedTuple):
    """How far a log is. `label` names the log within the installation; `root` is
    32 bytes."""

    log_id: int
    label: str
    origin: str
    size: int
    root: bytes


_CREATE = """
WITH made AS (
    INSERT INTO logs (environment, number, label, origin) VALUES ($1, 1, $1, $2)
    ON CONFLICT (environment, number) DO NOTHING RETURNING id
)
INSERT INTO log_heads (log_id, size, root) SELECT id, 0, $3 FROM made
"""
_HEADS = """
SELECT l.id, l.label, l.origin, h.size, h.root FROM logs l JOIN log_heads h ON h.log_id = l.id
"""
_HEAD = f"{_HEADS} WHERE l.environment = $1 AND l.retired_at IS NULL "
# An entry that a retired log did not keep is in its successor too.
_CHECKPOINT_OF = """
SELECT l.id AS log_id, l.origin, c.size, c.note
FROM log_entries e JOIN logs l ON l.id = e.log_id
JOIN log_checkpoints c ON c.log_id = e.log_id AND c.size > e.position
WHERE e.round_id = $1 AND e.position = $2
  AND (l.retired_at IS NULL OR e.position < l.kept_size)
ORDER BY c.size LIMIT 1
"""
_PUBLISH = """
UPDATE trees t SET status = 3, root = e.root, plain_root = e.plain_root,
    transaction = e.position::text, timestamp_ms = $5
FROM log_entries e JOIN round_trees rt USING (round_id) JOIN rounds r ON r.id = e.round_id
WHERE t.id = rt.tree_id AND t.currency_id = $2
  AND e.log_id = $1 AND e.position >= $3 AND e.position < $4
RETURNING t.id, t.currency_id, t.status, t.root, t.transaction, t.timestamp_ms,
          r.partner_environment_id
"""


async def create_first(tx: Connection, environment: str, origin: str, empty_root: bytes) -> None:
    """Make an environment's first log unless it was made before."""
    await tx.execute(_CREATE, environment, origin, empty_root)


async def head(connection: Connection, environment: str, *, lock: bool = False) -> Head:
    """Of the current log. With `lock`, neither its head nor which log is current changes before the
    transaction ends."""
    query = _HEAD + ("FOR NO KEY UPDATE" if lock else "")
    row = await connection.fetchrow(query, environment)
    if row is None:
        # The log was retired while this waited for its lock; a new statement sees its successor.
        row = await connection.fetchrow(query, environment)
    if row is None:
        raise LookupError(f"there is no log for {environment}")
    return Head(*row)


async def logs(connection: Connection, environment: str | None = None) -> list[Head]:
    """All logs, or those of an environment: the retired ones in their order, then the current one."""
    rows = await connection.fetch(
        _HEADS + "WHERE $1::text IS NULL OR environment = $1 ORDER BY environment, number",
        environment,
    )
    return [Head(*row) for row in rows]


async def unlogged_rounds(tx: Connection, environment: str, limit: int) -> list[Any]:
    """Sealed rounds that are not in the log yet, oldest first."""
    return await tx.fetch(
        "SELECT id, root, plain_root FROM rounds"
        " WHERE environment = $1 AND sealed_at IS NOT NULL AND NOT logged ORDER BY id LIMIT $2",
        environment,
        limit,
    )


async def store_entries(
    tx: Connection, log_id: int, first_position: int, rounds: list[Any]
) -> None:
    ids = [row["id"] for row in rounds]
    await tx.execute(
        "INSERT INTO log_entries (log_id, position, round_id, root, plain_root)"
        " SELECT $1, $2 + n - 1, id, root, plain_root"
        " FROM unnest($3::bigint[], $4::bytea[], $5::bytea[])"
        " WITH ORDINALITY AS r (id, root, plain_root, n)",
        log_id,
        first_position,
        ids,
        [row["root"] for row in rounds],
        [row["plain_root"] for row in rounds],
    )
    await tx.execute("UPDATE rounds SET logged = true WHERE id = ANY($1::bigint[])", ids)


async def store_tiles(tx: Connection, log_id: int, tiles: dict[TileName, bytes]) -> None:
    await tx.executemany(
        "INSERT INTO log_tiles (log_id, level, position, hashes) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (log_id, level, position) DO UPDATE SET hashes = excluded.hashes",
        [(log_id, name.level, name.position, hashes) for name, hashes in tiles.items()],
    )


async def store_head(tx: Connection, log_id: int, size: int, root: bytes) -> None:
    await tx.execute(
        "UPDATE log_heads SET size = $2, root = $3 WHERE log_id = $1", log_id, size, root
    )


async def tiles(
    connection: Connection, log_id: int, names: Iterable[TileName]
) -> dict[TileName, bytes]:
    """Those of the named tiles that exist."""
    wanted = list(names)
    rows = await connection.fetch(
        "SELECT level, position, hashes FROM log_tiles"
        " JOIN unnest($2::smallint[], $3::bigint[]) AS wanted (level, position)"
        " USING (level, position) WHERE log_id = $1",
        log_id,
        [name.level for name in wanted],
        [name.position for name in wanted],
    )
    return {TileName(row["level"], row["position"]): row["hashes"] for row in rows}


async def entries(connection: Connection, log_id: int, first: int, count: int) -> list[bytes]:
    """What was logged: of a round 64 bytes, its root, then its plain root; other entries are longer."""
    rows = await connection.fetch(
        "SELECT coalesce(entry, root || plain_root) AS entry FROM log_entries"
        " WHERE log_id = $1 AND position >= $2 AND position < $3 ORDER BY position",
        log_id,
        first,
        first + count,
    )
    return [row["entry"] for row in rows]


async def newest_checkpoint(connection: Connection, log_id: int) -> Any:
    """`size`, `note` and `signed_at` of the newest checkpoint, or None."""
    return await connection.fetchrow(
        "SELECT size, note, signed_at FROM log_checkpoints"
        " WHERE log_id = $1 ORDER BY size DESC LIMIT 1",
        log_id,
    )


async def current_checkpoint(connection: Connection, environment: str) -> Any:
    """`log_id`, and `size` and `note` of the newest checkpoint, of an environment's current log; None
    before its first."""
    return await connection.fetchrow(
        "SELECT log_id, size, note FROM log_checkpoints JOIN logs ON logs.id = log_id"
        " WHERE environment = $1 AND retired_at IS NULL ORDER BY size DESC LIMIT 1",
        environment,
    )


async def checkpoint_of(connection: Connection, round_id: int, position: int) -> Any:
    """`log_id` and `origin` of the log in which a published round has that position, and `size` and `note`
    of the first checkpoint that holds it: the one that gave it its time."""
    return await connection.fetchrow(_CHECKPOINT_OF, round_id, position)


async def store_checkpoint(
    tx: Connection, log_id: int, size: int, note: bytes, signed_at: datetime
) -> None:
    await tx.execute(
        "INSERT INTO log_checkpoints (log_id, size, note, signed_at) VALUES ($1, $2, $3, $4)",
        log_id,
        size,
        note.decode(),
        signed_at,
    )


async def verify_trees(
    tx: Connection, log_id: int, currency_id: int, first: int, end: int, timestamp_ms: int
) -> list[Any]:
    """Make the trees of the entries [first, end) verified; answers each with its owner."""
    return await tx.fetch(_PUBLISH, log_id, currency_id, first, end, timestamp_ms)
