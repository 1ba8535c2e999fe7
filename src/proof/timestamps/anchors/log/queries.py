"""The SQL of the log."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from proof.db import Connection
from proof.timestamps.anchors.log.tree import TileName


class Head(NamedTuple):
    """How far a log is; `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes


_PUBLISH = """
UPDATE trees t SET status = 3, root = e.root, plain_root = e.plain_root,
    transaction = e.position::text, timestamp_ms = $5
FROM log_entries e JOIN round_trees rt USING (round_id) JOIN rounds r ON r.id = e.round_id
WHERE t.id = rt.tree_id AND t.currency_id = $2
  AND e.environment = $1 AND e.position >= $3 AND e.position < $4
RETURNING t.id, t.currency_id, t.status, t.root, t.transaction, t.timestamp_ms,
          r.partner_environment_id
"""


async def create_head(tx: Connection, environment: str, origin: str, empty_root: bytes) -> None:
    await tx.execute(
        "INSERT INTO log_heads (environment, origin, size, root) VALUES ($1, $2, 0, $3)"
        " ON CONFLICT (environment) DO NOTHING",
        environment,
        origin,
        empty_root,
    )


async def head(connection: Connection, environment: str, *, lock: bool = False) -> Head:
    row = await connection.fetchrow(
        "SELECT origin, size, root FROM log_heads WHERE environment = $1"
        + (" FOR UPDATE" if lock else ""),
        environment,
    )
    if row is None:
        raise LookupError(f"there is no log for {environment}")
    return Head(row["origin"], row["size"], row["root"])


async def unlogged_rounds(tx: Connection, environment: str, limit: int) -> list[Any]:
    """Sealed rounds that are not in the log yet, oldest first."""
    return await tx.fetch(
        "SELECT id, root, plain_root FROM rounds"
        " WHERE environment = $1 AND sealed_at IS NOT NULL AND NOT logged ORDER BY id LIMIT $2",
        environment,
        limit,
    )


async def store_entries(
    tx: Connection, environment: str, first_position: int, rounds: list[Any]
) -> None:
    ids = [row["id"] for row in rounds]
    await tx.execute(
        "INSERT INTO log_entries (environment, position, round_id, root, plain_root)"
        " SELECT $1, $2 + n - 1, id, root, plain_root"
        " FROM unnest($3::bigint[], $4::bytea[], $5::bytea[])"
        " WITH ORDINALITY AS r (id, root, plain_root, n)",
        environment,
        first_position,
        ids,
        [row["root"] for row in rounds],
        [row["plain_root"] for row in rounds],
    )
    await tx.execute("UPDATE rounds SET logged = true WHERE id = ANY($1::bigint[])", ids)


async def store_tiles(tx: Connection, environment: str, tiles: dict[TileName, bytes]) -> None:
    await tx.executemany(
        "INSERT INTO log_tiles (environment, level, position, hashes) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (environment, level, position) DO UPDATE SET hashes = excluded.hashes",
        [(environment, name.level, name.position, hashes) for name, hashes in tiles.items()],
    )


async def store_head(tx: Connection, environment: str, size: int, root: bytes) -> None:
    await tx.execute(
        "UPDATE log_heads SET size = $2, root = $3 WHERE environment = $1", environment, size, root
    )


async def tiles(
    connection: Connection, environment: str, names: Iterable[TileName]
) -> dict[TileName, bytes]:
    """Those of the named tiles that exist."""
    wanted = list(names)
    rows = await connection.fetch(
        "SELECT level, position, hashes FROM log_tiles"
        " JOIN unnest($2::smallint[], $3::bigint[]) AS wanted (level, position)"
        " USING (level, position) WHERE environment = $1",
        environment,
        [name.level for name in wanted],
        [name.position for name in wanted],
    )
    return {TileName(row["level"], row["position"]): row["hashes"] for row in rows}


async def entries(connection: Connection, environment: str, first: int, count: int) -> list[bytes]:
    """64 bytes each: a round's root, then its plain root."""
    rows = await connection.fetch(
        "SELECT root || plain_root AS entry FROM log_entries"
        " WHERE environment = $1 AND position >= $2 AND position < $3 ORDER BY position",
        environment,
        first,
        first + count,
    )
    return [row["entry"] for row in rows]


async def newest_checkpoint(connection: Connection, environment: str) -> Any:
    """`size`, `note` and `signed_at` of the newest checkpoint, or None."""
    return await connection.fetchrow(
        "SELECT size, note, signed_at FROM log_checkpoints"
        " WHERE environment = $1 ORDER BY size DESC LIMIT 1",
        environment,
    )


async def first_checkpoint_over(connection: Connection, environment: str, position: int) -> Any:
    """`origin`, and `size` and `note` of the first checkpoint that holds the entry at `position`: the
    one that gave it its time."""
    return await connection.fetchrow(
        "SELECT origin, c.size, note FROM log_checkpoints c JOIN log_heads USING (environment)"
        " WHERE environment = $1 AND c.size > $2 ORDER BY c.size LIMIT 1",
        environment,
        position,
    )


async def store_checkpoint(
    tx: Connection, environment: str, size: int, note: bytes, signed_at: datetime
) -> None:
    await tx.execute(
        "INSERT INTO log_checkpoints (environment, size, note, signed_at) VALUES ($1, $2, $3, $4)",
        environment,
        size,
        note.decode(),
        signed_at,
    )


async def verify_trees(
    tx: Connection, environment: str, currency_id: int, first: int, end: int, timestamp_ms: int
) -> list[Any]:
    """Make the trees of the entries [first, end) verified; answers each with its owner."""
    return await tx.fetch(_PUBLISH, environment, currency_id, first, end, timestamp_ms)
