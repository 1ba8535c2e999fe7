"""Limits of roles, for connections that ask for none; a migration that waits for a lock holds up nobody."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proof.core.errors import BusyError
from proof.db import Database, migrate
from proof.db.session import ROLE_LIMITS

CHANGE = """
from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade() -> None:
    op.execute("ALTER TABLE partners ADD COLUMN colour text")
"""


async def test_a_role_has_limits_where_a_connection_asks_for_none(
    owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    async def limited(arguments: dict[str, Any]) -> dict[str, str]:
        connection = await asyncpg.connect(**arguments)
        try:
            await migrate.limit_role(connection)
            await migrate.limit_role(connection)
        finally:
            await connection.close()
        return await shown(arguments)

    own = await asyncpg.connect(**owner_arguments)
    name = owner_arguments["database"]
    await own.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET lock_timeout = '9s'")
    await own.close()
    assert await limited(database_arguments) == shown_as(ROLE_LIMITS)
    # What the operator chose stays.
    assert await limited(owner_arguments) == shown_as(ROLE_LIMITS) | {"lock_timeout": "9s"}


async def shown(arguments: dict[str, Any]) -> dict[str, str]:
    connection = await asyncpg.connect(**arguments)
    try:
        return {name: await connection.fetchval(f"SHOW {name}") for name in ROLE_LIMITS}
    finally:
        await connection.close()


def shown_as(limits: dict[str, str]) -> dict[str, str]:
    return {name: value.replace("60s", "1min") for name, value in limits.items()}


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next migration changes a table that everybody reads."""
    newest = migrate.newest_revision()
    folder = tmp_path / "migrations"
    shutil.copytree(migrate._VERSIONS.parent, folder)
    (folder / "versions" / "9999_colour.py").write_text(CHANGE.format(newest=newest))
    monkeypatch.setattr(migrate, "_VERSIONS", folder / "versions")
    monkeypatch.setattr(migrate, "_PAUSE_S", 0.0)
    monkeypatch.setattr(migrate, "_TRIES", 2)


@pytest.mark.usefixtures("one_more")
async def test_a_migration_gives_up_a_table_that_stays_locked_and_may_come_again(
    owner_arguments: dict[str, Any],
    database_arguments: dict[str, Any],
    database: Database,
) -> None:
    async def read_until(over: asyncio.Event) -> None:
        while not over.is_set():
            async with database.connection() as connection:
                await connection.fetch("SELECT FROM partners")

    async def scene() -> None:
        user, over = database_arguments["user"], asyncio.Event()
        async with database.snapshot() as holder:
            await holder.fetch("SELECT FROM partners")
            reading = asyncio.create_task(read_until(over))
            with pytest.raises(BusyError, match="oldest xact_start"):
                await migrate.migrate(owner_arguments, user)
            over.set()
            # Whoever reads waits for the migration that waits; it would be BusyError after 5 s.
            await reading
        await migrate.migrate(owner_arguments, user)
        async with database.connection() as connection:
            await connection.fetch("SELECT colour FROM partners")

    await scene()
