"""Sealed columns: which key-encryption key each record is under, and moving them to the newest.

A record is found by its key columns and bound to them: they spell the identity it was sealed for. So
nothing but the table itself is needed to open any record, whichever slice it belongs to.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proof.core.secrets import SealError, Vault
from proof.db.pool import Database
from proof.db.types import Connection

# A batch is one transaction, so writers wait for this many records at most.
BATCH = 100

# A wrong key makes every record unreadable; the first few are enough to see it.
_NAMED_PROBLEMS = 20


Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One bytea column of sealed secrets, NULL where there is none. `identity` names a record from its
    `key` columns; a bytea among them is spelt in hex."""

    table: str
    key: tuple[str, ...]
    identity: str
    column: str = "sealed"

    def identity_of(self, row: Any) -> str:
        """What the record was sealed for."""
        named = {name: row[name] for name in self.key}
        return self.identity.format_map(
            {name: item.hex() if isinstance(item, bytes) else item for name, item in named.items()}
        )


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many records of a table are under one key-encryption key; `key_id` is 16 hex digits, or empty
    for bytes that are no sealed secret."""

    table: str
    key_id: str
    records: int


@dataclass(frozen=True, slots=True)
class Census:
    """Every sealed record looked at. `unopened` counts those that do not open, `problems` says why."""

    uses: tuple[KeyUse, ...]
    unopened: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RewrapResult:
    """What a run moved, by table, and what it could not open and left as it was."""

    records: dict[str, int]
    unopened: int
    problems: tuple[str, ...]


async def count_sealed(database: Database, columns: Sequence[SealedColumn]) -> int:
    """How many sealed records there are."""
    async with database.connection() as connection:
        counts = [
            await connection.fetchval(f"SELECT count({column.column}) FROM {column.table}")
            for column in columns
        ]
    return sum(counts)


async def count_older(database: Database, vault: Vault, columns: Sequence[SealedColumn]) -> int:
    """How many of them are not under the newest key."""
    async with database.connection() as connection:
        counts = [
            await connection.fetchval(
                f"SELECT count(*) FROM {column.table} WHERE substr({column.column}, 2, 8) <> $1",
                vault.newest_id,
            )
            for column in columns
        ]
    return sum(counts)


async def census(
    database: Database, vault: Vault, columns: Sequence[SealedColumn], progress: Progress
) -> Census:
    """Open every sealed record, count them by key, change nothing.

    `progress` is told how many records a step was.
    """
    uses: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    # One snapshot, so that a rewrap going on meanwhile neither hides a record nor shows one twice.
    async with database.snapshot() as connection:
        for column in columns:
            async for rows in _pages(connection, column):
                for row in rows:
                    uses[column.table, key_id_text(row[column.column])] += 1
                    _try(vault, column, row, problems)
                progress(len(rows))
    found = tuple(KeyUse(table, key, count) for (table, key), count in sorted(uses.items()))
    return Census(found, len(problems), tuple(problems[:_NAMED_PROBLEMS]))


async def rewrap(
    database: Database, vault: Vault, columns: Sequence[SealedColumn], progress: Progress
) -> RewrapResult:
    """Seal every record that is under an older key anew, under the newest.

    Each batch is a transaction: stopped anywhere, every record opens under one of the vault's keys, and
    the next run finds what is left. Records are read meanwhile by whoever has both keys. Those that do
    not open are reported and left alone.
    """
    moved: dict[str, int] = {}
    problems: list[str] = []
    for column in columns:
        moved[column.table] = 0
        after: tuple[Any, ...] | None = ()
        while after is not None:
            async with database.transaction() as tx:
                after, count = await _rewrap_batch(tx, vault, column, after, problems)
            moved[column.table] += count
            progress(count)
    return RewrapResult(moved, len(problems), tuple(problems[:_NAMED_PROBLEMS]))


def key_id_text(sealed: bytes) -> str:
    """The key id in a sealed secret, as 16 hex digits; empty when it has none."""
    return sealed[1:9].hex() if sealed[:1] == b"\x01" and len(sealed) > 9 else ""


async def _rewrap_batch(
    tx: Connection,
    vault: Vault,
    column: SealedColumn,
    after: tuple[Any, ...],
    problems: list[str],
) -> tuple[tuple[Any, ...] | None, int]:
    """The key of the last record looked at, None when there are no more; and how many were moved."""
    rows = await _older(tx, vault, column, after)
    count = 0
    for row in rows:
        identity = column.identity_of(row)
        try:
            resealed = vault.reseal(row[column.column], identity)
        except SealError as error:
            problems.append(error.message)
            continue
        key = [row[name] for name in column.key]
        same = " AND ".join(f"{name} = ${n}" for n, name in enumerate(column.key, 2))
        await tx.execute(
            f"UPDATE {column.table} SET {column.column} = $1 WHERE {same}", resealed, *key
        )
        count += 1
    return (_key(column, rows[-1]) if rows else None), count


async def _older(
    tx: Connection, vault: Vault, column: SealedColumn, after: tuple[Any, ...]
) -> list[Any]:
    """The next records that are not under the newest key, locked until they are written."""
    newest = f"substr({column.column}, 2, 8) <> ${len(after) + 1}"
    where = f"{_beyond(column, after)} AND {newest}" if after else newest
    return await tx.fetch(
        f"{_select(column)} WHERE {where} ORDER BY {_names(column)} LIMIT {BATCH} FOR UPDATE",
        *after,
        vault.newest_id,
    )


async def _pages(connection: Connection, column: SealedColumn) -> AsyncIterator[list[Any]]:
    after: tuple[Any, ...] = ()
    while True:
        present = f"{column.column} IS NOT NULL"
        where = f"{_beyond(column, after)} AND {present}" if after else present
        query = f"{_select(column)} WHERE {where} ORDER BY {_names(column)} LIMIT {BATCH}"
        rows = await connection.fetch(query, *after)
        if not rows:
            return
        yield rows
        after = _key(column, rows[-1])


def _try(vault: Vault, column: SealedColumn, row: Any, problems: list[str]) -> None:
    try:
        vault.open(row[column.column], column.identity_of(row))
    except SealError as error:
        problems.append(error.message)


def _select(column: SealedColumn) -> str:
    return f"SELECT {_names(column)}, {column.column} FROM {column.table}"


def _beyond(column: SealedColumn, after: tuple[Any, ...]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(after) + 1))
    return f"({_names(column)}) > ({places})"


def _names(column: SealedColumn) -> str:
    return ", ".join(column.key)


def _key(column: SealedColumn, row: Any) -> tuple[Any, ...]:
    return tuple(row[name] for name in column.key)
