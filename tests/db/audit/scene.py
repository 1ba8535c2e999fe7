"""An audit log to chain and to tamper with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from proof.db import Database
from proof.partners.audit import Actor, record
from proof.partners.audit_chain import BATCH, VerifiedChain, extend, verify_chain

OPERATOR = Actor("op_1", "192.0.2.1", "req-1")


async def write(database: Database, *actions: str) -> None:
    """One entry an action, each in its own transaction."""
    for action in actions:
        async with database.transaction() as tx:
            await record(
                tx, OPERATOR, action, before={"n": 1}, after={"wallets": ["é", None, True]}
            )


async def chained(database: Database, *actions: str) -> None:
    """The same, chained."""
    await write(database, *actions)
    while await extend(database) == BATCH:
        pass


async def verified(database: Database) -> VerifiedChain:
    async with database.connection() as connection:
        return await verify_chain(connection, lambda _: None)


async def chain(database: Database) -> list[tuple[int, int]]:
    """(position, entry id) of all that is chained."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT position, entry_id FROM audit_chain ORDER BY position"
        )
    return [(row["position"], row["entry_id"]) for row in rows]


async def noted(database: Database) -> int:
    """How many positions are noted as submitted."""
    async with database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM audit_heads")
    return count


@asynccontextmanager
async def owning(arguments: dict[str, Any]) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The tables' owner with every constraint out of the way, as a database's administrator has it."""
    connection = await asyncpg.connect(**arguments)
    try:
        for table in ("audit_chain", "audit_heads"):
            names = await connection.fetch(
                "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype <> 'n'"
                " ORDER BY contype = 'p'",
                table,
            )
            for row in names:
                await connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{row[0]}" CASCADE')
        yield connection
    finally:
        await connection.close()
