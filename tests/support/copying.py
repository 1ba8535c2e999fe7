"""Copies of the migrated database, and of the data folder that has it."""

import asyncio
import atexit
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, partial
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
        copy_migrated(Path(folder))
        found = EmbeddedCluster(Path(folder))
        with found.start():
            asyncio.run(as_superuser(found, *_NO_DISK, _TAMPERING))
            yield found


def copy_migrated(data_dir: Path) -> None:
    """Make a data folder with the migrated database, as a Proof that was started and stopped leaves it:
    copying one takes a twentieth of what making one does."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # With the owners of the files: the embedded PostgreSQL of root is another user's.
    subprocess.run(["cp", "-a", f"{_migrated()}/.", str(data_dir)], check=True)


@cache
def _migrated() -> Path:
    """The data folder to copy; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="proof-"))
    atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
    # In a thread, because the caller's may have a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_migrate, folder).result()
    return folder


def _migrate(folder: Path) -> None:
    found = EmbeddedCluster(folder)
    with found.start():
        asyncio.run(migrate(asdict(found.connection("owner")), found.connection("app").user))


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
