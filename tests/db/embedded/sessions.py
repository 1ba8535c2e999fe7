"""Short sessions with a running cluster."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg

from proof.db.embedded import ConnectionInfo, EmbeddedCluster


def query(connection: ConnectionInfo, statement: str, *arguments: object) -> list[Any]:
    """Run one statement in a connection of its own; return the first column."""

    async def run() -> list[Any]:
        session = await asyncpg.connect(
            host=connection.host,
            port=connection.port,
            user=connection.user,
            password=connection.password,
            database=connection.database,
        )
        try:
            return [row[0] for row in await session.fetch(statement, *arguments)]
        finally:
            await session.close()

    return asyncio.run(run())


def superuser_of(cluster: EmbeddedCluster, password: str) -> ConnectionInfo:
    owner = cluster.connection("owner")
    return replace(owner, user="proof_superuser", password=password, database="postgres")
