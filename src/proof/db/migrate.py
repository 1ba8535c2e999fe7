"""Bring the schema to the newest version, and give the application role what it needs."""

from pathlib import Path
from typing import Any

import asyncpg

from proof.core.errors import DatabaseUnavailableError
from proof.db.outages import CANNOT_CONNECT

# Any number nobody else locks: two starting processes migrate one after the other.
_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_MIGRATION_LOCK = 0x50_52_4F_4F_46

# Tables the application only appends to: not even it may rewrite what it once said.
_APPEND_ONLY = (
    "audit_log",
    "audit_chain",
    "audit_heads",
    "submissions",
    "round_tiles",
    "tree_tiles",
    "log_entries",
    "log_checkpoints",
)


def newest_revision() -> str:
    """The revision this program's code expects: the number its last migration's file begins with."""
    return max(file.name for file in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


async def migrate(owner: dict[str, Any], application_user: str) -> None:
    """Upgrade as `owner` (asyncpg arguments), then grant `application_user` its rights.

    Safe to run at every start and by several processes at once; a failing migration is rolled back
    whole. Raises DatabaseUnavailableError when the server cannot be reached.
    """
    try:
        lock = await asyncpg.connect(**owner)
    except CANNOT_CONNECT as error:
        raise DatabaseUnavailableError(f"PostgreSQL cannot be reached: {error}") from None
    try:
        await lock.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await _upgrade(owner)
        if application_user != await lock.fetchval("SELECT current_user"):
            await _grant(lock, application_user)
    finally:
        await lock.close()


async def current_revision(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    """The revision the database is at; None before the first migration."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def _upgrade(owner: dict[str, Any]) -> None:
    # Imported when needed: together they take longer than most commands that only read.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import Connection as SyncConnection
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**owner)
        return connection

    def run(connection: SyncConnection) -> None:
        config = Config()
        config.set_main_option("script_location", str(_VERSIONS.parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


async def _grant(connection: "asyncpg.Connection[asyncpg.Record]", user: str) -> None:
    role = '"' + user.replace('"', '""') + '"'
    await connection.execute(
        f"""
        GRANT USAGE ON SCHEMA public TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
        GRANT EXECUTE ON FUNCTION keep_refusals TO {role};
        REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};
        REVOKE UPDATE, DELETE ON log_tiles FROM {role};
        GRANT UPDATE (hashes) ON log_tiles TO {role};
        """
        + "".join(f"REVOKE UPDATE, DELETE ON {table} FROM {role};" for table in _APPEND_ONLY)
    )
