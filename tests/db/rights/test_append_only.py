"""What the application role may not do, whoever speaks for it."""

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
]
TILE = "INSERT INTO log_tiles VALUES ('production', 0, 0, sha256('a'))"


def of_a_column(table: str) -> str:
    return (
        "SELECT column_name FROM information_schema.columns"
        f" WHERE table_name = '{table}' ORDER BY ordinal_position OFFSET 1 LIMIT 1"
    )


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
async def test_what_is_appended_to_is_never_changed(database: Database, verb: str) -> None:
    async with database.connection() as connection:
        for table in [*APPEND_ONLY, "log_tiles"]:
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
        await connection.execute(TILE)
        await connection.execute("UPDATE log_tiles SET hashes = hashes || sha256('c')")
        statement = f"UPDATE log_tiles SET hashes = {hashes}"
        if allowed:
            await connection.execute(statement)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only grows"):
                await connection.execute(statement)
