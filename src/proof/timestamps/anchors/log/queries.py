"""The SQL of the log."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What is known of a witness. `failing_since` and `error`: None while it cosigns."""

    url: str
    names: tuple[str, ...]
    size: int = 0
    succeeded_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None


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
_UNPUBLISHED = """
SELECT EXISTS (
    SELECT FROM logs l JOIN log_heads h ON h.log_id = l.id
    WHERE l.environment = $1 AND l.retired_at IS NULL AND h.size <> coalesce(
        (SELECT size FROM log_checkpoints WHERE log_id = l.id ORDER BY size DESC LIMIT 1), 0))
"""
_CHECKPOINTS_OF = """
SELECT e.round_id, e.position, l.id AS log_id, l.origin, c.size, c.note
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (round_id, position)
JOIN log_entries e USING (round_id, position) JOIN logs l ON l.id = e.log_id
CROSS JOIN LATERAL (
    SELECT size, note FROM log_checkpoints
    WHERE log_id = e.log_id AND size > e.position ORDER BY size LIMIT 1
) AS c
ORDER BY c.size DESC
"""
# By the database's clock: machines may disagree about the time.
_TAKE_LEASE = """
INSERT INTO log_publishers (log_id, owner, until)
SELECT id, $2, clock_timestamp() + make_interval(secs => $3)
FROM logs WHERE id = $1 AND retired_at IS NULL
ON CONFLICT (log_id) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE log_publishers.until < clock_timestamp()
RETURNING true
"""
_STORE_WITNESSES = """
INSERT INTO log_witnesses (log_id, url, names, size, succeeded_at, failing_since, error)
SELECT $1, url, string_to_array(names, ' '), size, succeeded_at, failing_since, error
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[])
    AS w (url, names, size, succeeded_at, failing_since, error)
ON CONFLICT (log_id, url) DO UPDATE SET names = excluded.names, size = excluded.size,
    succeeded_at = excluded.succeeded_at, failing_since = excluded.failing_since, error = excluded.error
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


async def size(connection: Connection, log_id: int) -> int:
    """How many entries a log has."""
    found: int = await connection.fetchval("SELECT size FROM log_heads WHERE log_id = $1", log_id)
    return found


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


async def unpublished(connection: Connection, environment: str) -> bool:
    """Whether the current log's head is another than its newest checkpoint's; nothing is locked."""
    found: bool = await connection.fetchval(_UNPUBLISHED, environment)
    return found


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


async def checkpoints_of(
    connection: Connection, entries: Collection[tuple[int, int]]
) -> dict[tuple[int, int], Any]:
    """Of each published (round, position) `log_id` and `origin` of the log in which the round has that
    position, and `size` and `note` of the first checkpoint that holds it: the one that gave it its time."""
    rows = await connection.fetch(
        _CHECKPOINTS_OF, [each for each, _ in entries], [position for _, position in entries]
    )
    return {(row["round_id"], row["position"]): row for row in rows}


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


async def take_lease(tx: Connection, log_id: int, owner: UUID, lease_s: float) -> bool:
    """Be the one that publishes a log, for so long; False while somebody else is, and once it is closed."""
    return bool(await tx.fetchval(_TAKE_LEASE, log_id, owner, lease_s))


async def end_lease(tx: Connection, log_id: int, owner: UUID) -> bool:
    """Be no longer the one that publishes; whether one still was."""
    query = "DELETE FROM log_publishers WHERE log_id = $1 AND owner = $2 RETURNING true"
    return bool(await tx.fetchval(query, log_id, owner))


async def policy_at(connection: Connection, log_id: int, size: int) -> bytes | None:
    """The policy by which a log's checkpoints of about that size were published, as a file without URLs;
    None where nobody gave one."""
    found: bytes | None = await connection.fetchval(
        "SELECT policy FROM log_policies WHERE log_id = $1 AND size <= $2 ORDER BY size DESC LIMIT 1",
        log_id,
        size,
    )
    return found


async def policies(connection: Connection, log_id: int) -> list[tuple[int, bytes]]:
    """Each policy that a log was published by, with the size of the first checkpoint by it, in their
    order."""
    rows = await connection.fetch(
        "SELECT size, policy FROM log_policies WHERE log_id = $1 ORDER BY size", log_id
    )
    return [(row["size"], row["policy"]) for row in rows]


async def store_policy(tx: Connection, log_id: int, size: int, policy: bytes) -> None:
    """From the checkpoint of that size on, a log is published by this policy."""
    await tx.execute("INSERT INTO log_policies VALUES ($1, $2, $3)", log_id, size, policy)


async def witnesses(connection: Connection, log_id: int) -> list[WitnessState]:
    """What is known of the witnesses of a log."""
    rows = await connection.fetch(
        "SELECT url, names, size, succeeded_at, failing_since, error FROM log_witnesses"
        " WHERE log_id = $1 ORDER BY url",
        log_id,
    )
    return [WitnessState(row["url"], tuple(row["names"]), *row[2:]) for row in rows]


async def store_witnesses(tx: Connection, log_id: int, states: Sequence[WitnessState]) -> None:
    """These are the witnesses of a log now, and what is known of them."""
    await tx.execute(
        _STORE_WITNESSES,
        log_id,
        [state.url for state in states],
        [" ".join(state.names) for state in states],
        [state.size for state in states],
        [state.succeeded_at for state in states],
        [state.failing_since for state in states],
        [state.error for state in states],
    )
    await tx.execute(
        "DELETE FROM log_witnesses WHERE log_id = $1 AND url <> ALL($2::text[])",
        log_id,
        [state.url for state in states],
    )
