"""Copies of the migrated database, and of the data folder that has it."""

import asyncio
import atexit
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import asyncpg

from proof.db.embedded import EmbeddedCluster
from proof.db.embedded.binaries import find_installation
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
        with found.start(), copies_of(found):
            _superusers[found].execute(*_NO_DISK, _TAMPERING)
            yield found


def copy_migrated(data_dir: Path) -> None:
    """Make a data folder with the migrated database, as a Proof that was started and stopped leaves it:
    copying one takes a twentieth of what making one does."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # With the owners of the files: the embedded PostgreSQL of root is another user's.
    subprocess.run(["cp", "-a", f"{_migrated()}/.", str(data_dir)], check=True)


@cache
def _migrated() -> Path:
    """The data folder to copy: the workers of a parallel run share one, in the run's folder, and it ends
    with that; any other ends with this process."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="proof-"))
        atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
        return _migrated_in(folder)
    shared = Path(tempfile.gettempdir(), "migrated")
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            # It appears whole.
            _migrated_in(Path(tempfile.mkdtemp(prefix="proof-"))).rename(shared)
    return shared


def _migrated_in(folder: Path) -> Path:
    # In a thread, because the caller's may have a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_migrate, folder).result()
    return folder


def _migrate(folder: Path) -> None:
    found = EmbeddedCluster(folder)
    with found.start(), copies_of(found):
        asyncio.run(migrate(asdict(found.connection("owner")), found.connection("app").user))
        _superusers[found].execute(*_quick_logins(found))


def _quick_logins(cluster: EmbeddedCluster) -> Iterator[str]:
    """A third of what a connection takes is the iterations of its password, of which each test opens
    several."""
    yield "SET scram_iterations = 1"
    for role, password in _passwords(cluster).items():
        yield f"ALTER ROLE proof_{role} PASSWORD '{password}'"


def _passwords(cluster: EmbeddedCluster) -> dict[str, str]:
    found: dict[str, str] = json.loads(cluster._folders.passwords.read_text())
    return found


class _Superuser:
    """One connection for all copies of a process, on a loop of its own: each by a connection of its own
    would cost half as much again."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._turn = threading.Lock()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def execute(self, *statements: str) -> None:
        """Run statements, each on its own."""
        with self._turn:
            self._run(self._execute(statements))

    def close(self) -> None:
        if self._connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                self._run(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _execute(self, statements: tuple[str, ...]) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await _connected(self._cluster, "postgres")
        for statement in statements:
            await self._connection.execute(statement)


_superusers: dict[EmbeddedCluster, _Superuser] = {}


@contextmanager
def copies_of(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """A running cluster, whose databases can be `copied` while the block lasts."""
    _superusers[cluster] = _Superuser(cluster)
    try:
        yield cluster
    finally:
        _superusers.pop(cluster).close()


def copied(
    cluster: EmbeddedCluster, name: str, source: str = "proof"
) -> AbstractContextManager[dict[str, Any]]:
    """asyncpg arguments, as the application role, of an empty, migrated database that ends with the
    block; or of a copy of another `source` as it stands, to which nobody may be connected meanwhile.

    Without flushes to the disk, copying the files takes less than half the work of copying through the log.
    """
    return _created(cluster, name, f"{source} STRATEGY file_copy")


@contextmanager
def restored(cluster: EmbeddedCluster, dump: Path, name: str) -> Iterator[dict[str, Any]]:
    """The same of a file that pg_dump wrote."""
    with _created(cluster, name, "template0") as arguments:
        _client_program(cluster, name, "pg_restore", "--dbname", name, "--exit-on-error", str(dump))
        yield arguments


@contextmanager
def _created(cluster: EmbeddedCluster, name: str, template: str) -> Iterator[dict[str, Any]]:
    superuser = _superusers[cluster]
    superuser.execute(
        f"CREATE DATABASE {name} TEMPLATE {template} OWNER proof_owner",
        f"GRANT CONNECT ON DATABASE {name} TO proof_app",
    )
    try:
        yield asdict(cluster.connection("app")) | {"database": name}
    finally:
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


def dump(cluster: EmbeddedCluster, name: str, file: Path) -> None:
    """What pg_dump makes of a database."""
    _client_program(cluster, name, "pg_dump", "--format=custom", "--file", str(file), name)


def _client_program(cluster: EmbeddedCluster, database: str, program: str, *arguments: str) -> None:
    owner = cluster.connection("owner")
    subprocess.run(
        [
            find_installation() / "bin" / program,
            *("--host", owner.host, "--port", str(owner.port), "--username", owner.user),
            *arguments,
        ],
        env={"PGPASSWORD": owner.password},
        check=True,
        capture_output=True,
    )


async def as_superuser(cluster: EmbeddedCluster, *statements: str, database: str) -> None:
    """Run statements in a database, each on its own."""
    connection = await _connected(cluster, database)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _connected(
    cluster: EmbeddedCluster, database: str
) -> "asyncpg.Connection[asyncpg.Record]":
    superuser = {"user": "proof_superuser", "password": _passwords(cluster)["superuser"]}
    found: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        **asdict(cluster.connection("owner")) | superuser | {"database": database}
    )
    return found
