"""The SQL of daily statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from proof.db import Connection

PAGE = 1_000
TILE_WIDTH = 256

_CLOSE = """
INSERT INTO statement_days AS known (closed) VALUES ($1)
ON CONFLICT (single) DO UPDATE SET closed = greatest(known.closed, excluded.closed)
"""

# The day after the newest statement of each, or the first on which a chain of its changed.
_DUE = """
SELECT owner, coalesce(newest.day + 1, first.day) AS day
FROM unnest($1::integer[]) AS owner
LEFT JOIN LATERAL (SELECT day FROM statements WHERE partner_environment_id = owner
                   ORDER BY day DESC LIMIT 1) newest ON true
LEFT JOIN LATERAL (SELECT day FROM ramp_chain_days WHERE partner_environment_id = owner
                   ORDER BY day LIMIT 1) first ON true
WHERE coalesce(newest.day + 1, first.day) <= $2
ORDER BY day, owner LIMIT 1
"""

# What a chain said at the end of the day: its newest status and its newest refund among the records it had
# then, or its opening where it had no status yet.
_LINES = """
SELECT chain.transaction_id, chain.records, chain.head,
    coalesce(
        (SELECT record FROM ramp_records
         WHERE transaction_id = chain.transaction_id AND sequence <= chain.records
           AND kind = 'transaction.status' ORDER BY sequence DESC LIMIT 1),
        (SELECT record FROM ramp_records
         WHERE transaction_id = chain.transaction_id AND sequence = 1 AND kind = 'session.opened')
    ) AS said,
    (SELECT record FROM ramp_records
     WHERE transaction_id = chain.transaction_id AND sequence <= chain.records
       AND kind = 'transaction.refund' ORDER BY sequence DESC LIMIT 1) AS refund
FROM ramp_chain_days chain
WHERE chain.partner_environment_id = $1 AND chain.day = $2 AND chain.transaction_id > $3
ORDER BY chain.transaction_id LIMIT $4
"""

_ADD = """
INSERT INTO statements (partner_environment_id, day, statement, sha256, csv_bytes, lines_bytes)
VALUES ($1, $2, $3, $4, $5, $6)
"""

_ADD_TILES = """
INSERT INTO statement_tiles (partner_environment_id, day, position, first_transaction, node)
SELECT $1, $2, position - 1, first, node
FROM unnest($3::uuid[], $4::bytea[]) WITH ORDINALITY AS tile (first, node, position)
"""

_NEWEST_WITH = """
SELECT made.day, made.statement, made.sha256
FROM ramp_chain_days chain JOIN statements made USING (partner_environment_id, day)
WHERE chain.transaction_id = $2 AND chain.partner_environment_id = $1
ORDER BY chain.day DESC LIMIT 1
"""

_TILE = """
SELECT position, first_transaction FROM statement_tiles
WHERE partner_environment_id = $1 AND day = $2 AND first_transaction <= $3
ORDER BY position DESC LIMIT 1
"""

_CHAINS = """
SELECT transaction_id, records, head FROM ramp_chain_days
WHERE partner_environment_id = $1 AND day = $2 AND transaction_id >= $3
ORDER BY transaction_id LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """A statement as it was made: canonical bytes, their SHA-256, and how long the two lists of its lines
    are in bytes."""

    day: date
    statement: bytes
    sha256: bytes
    csv_bytes: int
    lines_bytes: int


async def close(tx: Connection, day: date) -> None:
    """No chain changes on this day, or on one before it, any more."""
    await tx.execute(_CLOSE, day)


async def open_day(tx: Connection, today: date) -> date:
    """The day that what changes now belongs to: today, or the day after the last closed one where this
    machine's clock is behind that of whoever closed it. The caller holds the lock that closing takes."""
    closed, _ = await days(tx)
    return today if closed is None else max(today, closed + timedelta(days=1))


async def days(connection: Connection) -> tuple[date | None, date | None]:
    """The last day that is closed, and the last of which every statement is made."""
    row = await connection.fetchrow("SELECT closed, made FROM statement_days")
    return (None, None) if row is None else (row["closed"], row["made"])


async def note_made(tx: Connection, day: date) -> None:
    """Every statement of this day, and of those before it, is there."""
    await tx.execute("UPDATE statement_days SET made = $1 WHERE closed >= $1", day)


async def due(
    connection: Connection, owners: Sequence[int], closed: date
) -> tuple[int, date] | None:
    """Whose statement is to be made next, and of which day; None when all up to `closed` are there."""
    row = await connection.fetchrow(_DUE, list(owners), closed)
    return None if row is None else (row["owner"], row["day"])


async def lines(connection: Connection, owner: int, day: date, after: UUID) -> list[Any]:
    """The next PAGE chains of a day, by their transaction's id beyond `after`, with what they said."""
    return await connection.fetch(_LINES, owner, day, after, PAGE)


async def add(tx: Connection, owner: int, made: StoredStatement) -> None:
    """Store a statement."""
    await tx.execute(
        _ADD, owner, made.day, made.statement, made.sha256, made.csv_bytes, made.lines_bytes
    )


async def add_tiles(
    tx: Connection, owner: int, day: date, firsts: Sequence[UUID], nodes: Sequence[bytes]
) -> None:
    """Store the tiles of a statement's tree, in order: the first transaction and the node of each."""
    await tx.execute(_ADD_TILES, owner, day, list(firsts), list(nodes))


async def statement(connection: Connection, owner: int, day: date) -> StoredStatement | None:
    row = await connection.fetchrow(
        "SELECT day, statement, sha256, csv_bytes, lines_bytes FROM statements"
        " WHERE partner_environment_id = $1 AND day = $2",
        owner,
        day,
    )
    return None if row is None else StoredStatement(**row)


async def span(connection: Connection, owner: int) -> tuple[date, date] | None:
    """The days of an owner's first and newest statement; None without one."""
    row = await connection.fetchrow(
        "SELECT min(day) AS first, max(day) AS last FROM statements WHERE partner_environment_id = $1",
        owner,
    )
    return None if row is None or row["first"] is None else (row["first"], row["last"])


async def newest_with(connection: Connection, owner: int, transaction_id: UUID) -> Any:
    """`day`, `statement` and `sha256` of the newest statement with a transaction, None without one."""
    return await connection.fetchrow(_NEWEST_WITH, owner, transaction_id)


async def tile_of(
    connection: Connection, owner: int, day: date, transaction_id: UUID
) -> tuple[int, list[Any]]:
    """The number of the tile that a transaction is in, and its chains."""
    tile: Any = await connection.fetchrow(_TILE, owner, day, transaction_id)
    chains = await connection.fetch(_CHAINS, owner, day, tile["first_transaction"], TILE_WIDTH)
    return tile["position"], chains


async def nodes(connection: Connection, owner: int, day: date) -> bytes:
    """The nodes of a statement's tiles, side by side."""
    found: bytes = await connection.fetchval(
        "SELECT string_agg(node, ''::bytea ORDER BY position) FROM statement_tiles"
        " WHERE partner_environment_id = $1 AND day = $2",
        owner,
        day,
    )
    return found
