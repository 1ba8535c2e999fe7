"""Copies of the migrated database."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg

from proof.db.embedded import EmbeddedCluster
from proof.db.migrate import migrate

CLUSTER = "PROOF_TEST_CLUSTER"
"""The data folder of a running cluster to use, for what starts pytest over and over."""

# No test of this cluster cuts the power, and a copied database costs ten times as much with every flush
# to the disk; what a kill leaves is tested on clusters of those tests' own.
# So that a test can do what only the owner of the tables may; nothing of it is inherited.
_TAMPERING = "GRANT proof_owner TO proof_app WITH INHERIT FALSE, SET TRUE"
_NO_DISK = ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")


@contextmanager
def migrated_cluster() -> Iterator[EmbeddedCluster]:
    """A running embedded PostgreSQL, in a folder that ends with it, with a migrated database."""
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        found = EmbeddedCluster(Path(folder))
        with found.start():
            asyncio.run(migrate(asdict(found.connection("owner")), found.connection("app").user))
            asyncio.run(as_superuser(found, *_NO_DISK, _TAMPERING))
            yield found


@contextmanager
def copied(cluster: EmbeddedCluster, name: str) -> Iterator[dict[str, Any]]:
    """asyncpg arguments, as the application role, of an empty, migrated database that ends with the
    block. No event loop may be running in this thread.

    Without flushes to the disk, copying the files takes less than half the work of copying through the log.
    """
    asyncio.run(
        as_superuser(
            cluster,
            f"CREATE DATABASE {name} TEMPLATE proof STRATEGY file_copy OWNER proof_owner",
            f"GRANT CONNECT ON DATABASE {name} TO proof_app",
        )
    )
    try:
        yield asdict(cluster.connection("app")) | {"database": name}
    finally:
        asyncio.run(as_superuser(cluster, f"DROP DATABASE {name} WITH (FORCE)"))


async def as_superuser(
    cluster: EmbeddedCluster, *statements: str, database: str = "postgres"
) -> None:
    """Run statements, each on its own."""
    passwords = json.loads(cluster._folders.passwords.read_text())
    superuser = {"user": "proof_superuser", "password": passwords["superuser"]}
    arguments = asdict(cluster.connection("owner")) | superuser | {"database": database}
    connection = await asyncpg.connect(**arguments)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
