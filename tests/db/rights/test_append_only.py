"""What the application role may not do, whoever speaks for it."""

from typing import Any

import asyncpg
import pytest

from proof.db import Database

APPEND_ONLY = [
    "audit_log",
    "audit_chain",
    "audit_heads",
    "submissions",
    "round_tiles",
    "tree_tiles",
    "log_entries",
    "log_checkpoints",
    "ramp_records",
    "statements",
    "statement_tiles",
]
LOG = "INSERT INTO logs (environment, number, label, origin) VALUES ('e', 1, 'e', 'o')"
TILE = "INSERT INTO log_tiles SELECT id, 0, 0, sha256('a') FROM logs"
RETIRED = """
UPDATE logs SET retired_at = now(), reason = 'rotation', final_size = 1, final_root = sha256('root'),
    final_note = 'note', kept_size = 1
"""


def of_a_column(table: str) -> str:
    return (
        "SELECT column_name FROM information_schema.columns"
        f" WHERE table_name = '{table}' ORDER BY ordinal_position OFFSET 1 LIMIT 1"
    )


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
async def test_what_is_appended_to_is_never_changed(database: Database, verb: str) -> None:
    async with database.connection() as connection:
        for table in [*APPEND_ONLY, "log_tiles", "logs"]:
            column = await connection.fetchval(of_a_column(table))
            statement = {
                "UPDATE": f"UPDATE {table} SET {column} = {column}",
                "DELETE": f"DELETE FROM {table}",
                "TRUNCATE": f"TRUNCATE {table}",
            }[verb]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
            await connection.fetch(f"SELECT * FROM {table}")


@pytest.mark.parametrize(
    ("hashes", "allowed"),
    [
        ("hashes || sha256('b')", True),
        ("sha256('b')", False),
        ("sha256('b') || hashes", False),
        ("substr(hashes, 1, 32)", False),
    ],
)
async def test_a_tile_of_the_log_only_grows(database: Database, hashes: str, allowed: bool) -> None:
    async with database.connection() as connection:
        await connection.execute(LOG)
        await connection.execute(TILE)
        await connection.execute("UPDATE log_tiles SET hashes = hashes || sha256('c')")
        statement = f"UPDATE log_tiles SET hashes = {hashes}"
        if allowed:
            await connection.execute(statement)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only grows"):
                await connection.execute(statement)


async def test_a_retired_log_stays_as_it_is(
    database: Database, owner_arguments: dict[str, Any]
) -> None:
    async with database.connection() as connection:
        await connection.execute(LOG)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE logs SET origin = 'other'")
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE logs SET retired_at = now(), reason = 'half'")
        await connection.execute(RETIRED)
    owner = await asyncpg.connect(**owner_arguments)
    try:
        for statement in (RETIRED, "UPDATE logs SET retired_at = NULL", "DELETE FROM logs"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="stays as it is"):
                await owner.execute(statement)
    finally:
        await owner.close()
