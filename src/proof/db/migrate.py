"""Bring the schema to the newest version, and give the application role what it needs."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from proof.core.errors import BusyError, ProofError
from proof.db.outages import CANNOT_CONNECT, outage, stated_outages, unreached
from proof.db.session import ROLE_LIMITS, migration_arguments
from proof.db.types import Connection

# An advisory lock of our own, so that two processes that start together migrate one after the other.
_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_MIGRATION_LOCK = 0x50_52_4F_4F_46
_ROLE_LOCK = 0x50_52_4F_4F_47

# How often a migration that does not get a table's lock is tried again, and how far apart.
_TRIES = 10
_PAUSE_S = 2.0

_log = structlog.get_logger()

# Append-only tables: the application's role may insert into them and nothing else.
_APPEND_ONLY = (
    "audit_log",
    "audit_chain",
    "audit_heads",
    "submissions",
    "round_tiles",
    "tree_tiles",
    "log_entries",
    "log_checkpoints",
    "ramp_records",
    "log_policies",
    "statements",
    "statement_tiles",
)


class OldLogError(ProofError):
    """The database holds a log whose entries have a form that this version does not continue."""

    code = "old_log"


def newest_revision() -> str:
    """The revision this program's code expects: the number its last migration's file begins with."""
    return max(file.name for file in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


async def migrate(owner: dict[str, Any], application_user: str) -> None:
    """Upgrade as `owner` (asyncpg arguments), then grant `application_user` its rights.

    Safe to run at every start and by several processes at once; a failing migration is rolled back
    whole. Raises DatabaseUnavailableError when the server cannot be reached, BusyError when a table that
    is to be changed stays locked, OldLogError, asyncpg.InsufficientPrivilegeError when `owner` may not.
    """
    owner = migration_arguments(owner)
    try:
        lock = await asyncpg.connect(**owner)
    except CANNOT_CONNECT as error:
        raise unreached(error) from None
    try:
        with stated_outages(lock):
            # The lock is waited for without limit: another process may be in a long migration.
            await lock.execute("SET lock_timeout = 0")
            await lock.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
            await lock.execute("RESET lock_timeout")
            if await current_revision(lock) != newest_revision():
                await _upgrade(owner, lock)
            if application_user != await lock.fetchval("SELECT current_user"):
                await _grant(lock, application_user)
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await lock.close()


async def limit_role(connection: Connection) -> None:
    """Give the role of this connection ROLE_LIMITS in its database, but for those that somebody set there.
    A role may say that of itself."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ROLE_LOCK)
        known = {text.partition("=")[0] for text in await _role_settings(connection)}
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        for name, value in ROLE_LIMITS.items():
            if name not in known:
                await connection.execute(
                    f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET {name} = '{value}'"
                )


async def _role_settings(connection: Connection) -> list[str]:
    """What the present role's sessions begin with in the present database, each `name=value`."""
    found: list[str] | None = await connection.fetchval(
        "SELECT setconfig FROM pg_db_role_setting"
        " WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
        " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return found or []


async def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None before the first migration."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def _upgrade(owner: dict[str, Any], lock: Connection) -> None:
    """Raises BusyError, asyncpg.InsufficientPrivilegeError; `lock` is the connection that keeps other
    migrations away."""
    from sqlalchemy.exc import DBAPIError

    for _ in range(_TRIES):
        try:
            await _upgrade_once(owner)
        except DBAPIError as error:
            # SQLAlchemy wraps the driver's error twice.
            cause = getattr(error.orig, "__cause__", None) or error
            if isinstance(cause, asyncpg.InsufficientPrivilegeError):
                raise cause from None
            stated = outage(cause, lock)
            if stated is None:
                raise
            if not isinstance(stated, BusyError):
                raise stated from None
            _log.warning("migration.waiting", error="a transaction holds what is to be changed")
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise BusyError(
        f"a transaction holds a table that is to be changed, and {_TRIES} tries were in vain; nothing"
        " was changed. Find it (the oldest xact_start of pg_stat_activity), and end it or wait for its end"
    )


async def _upgrade_once(owner: dict[str, Any]) -> None:
    # Importing Alembic and SQLAlchemy takes longer than most commands that only read.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import Connection as SyncConnection
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**owner)
        except CANNOT_CONNECT as error:
            raise unreached(error) from None
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
        REVOKE UPDATE, DELETE ON logs FROM {role};
        GRANT UPDATE (retired_at, reason, final_size, final_root, final_note, kept_size)
            ON logs TO {role};
        REVOKE UPDATE, DELETE ON receipt_keys FROM {role};
        GRANT UPDATE (sealed, retired_at) ON receipt_keys TO {role};
        """
        + "".join(f"REVOKE UPDATE, DELETE ON {table} FROM {role};" for table in _APPEND_ONLY)
    )
