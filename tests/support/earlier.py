"""A database as an earlier version of the program left it."""

from typing import TYPE_CHECKING, Any

import asyncpg

from proof.db import migrate

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def migrate_to(owner: dict[str, Any], revision: str) -> None:
    """Leave nothing in a database but the schema of a revision. `owner`: asyncpg arguments."""
    # Alembic and SQLAlchemy take longer to import than the tests of most modules take to collect.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    connection = await asyncpg.connect(**owner)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()

    def run(connection: "Connection") -> None:
        config = Config()
        config.set_main_option("script_location", str(migrate._VERSIONS.parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(**owner),
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as opened:
            await opened.run_sync(run)
            await opened.commit()
    finally:
        await engine.dispose()
