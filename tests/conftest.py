"""One PostgreSQL for the whole run, one migrated database for each test that asks for it."""

import asyncio
import itertools
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog

from proof.core.secrets import Vault
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.db.migrate import migrate

T = TypeVar("T")
Run = Callable[[Awaitable[T]], T]

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command under test sets up the log for its own standard error, which ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    """A running embedded PostgreSQL with a migrated database to copy from."""
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        found = EmbeddedCluster(Path(folder))
        with found.start():
            asyncio.run(migrate(asdict(found.connection("owner")), found.connection("app").user))
            yield found


@pytest.fixture
def run() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Runs coroutines of a test on one event loop."""
    with asyncio.Runner() as runner:

        async def awaited(value: Awaitable[Any]) -> Any:
            return await value

        yield lambda value: runner.run(awaited(value))


@pytest.fixture
def database_arguments(cluster: EmbeddedCluster) -> Iterator[dict[str, Any]]:
    """asyncpg arguments of an empty, migrated database, as the application role."""
    name = f"test_{next(_numbers)}"
    asyncio.run(
        _as_superuser(
            cluster,
            f"CREATE DATABASE {name} TEMPLATE proof STRATEGY file_copy OWNER proof_owner",
            f"GRANT CONNECT ON DATABASE {name} TO proof_app",
        )
    )
    yield asdict(cluster.connection("app")) | {"database": name}
    asyncio.run(_as_superuser(cluster, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def owner_arguments(cluster: EmbeddedCluster, database_arguments: dict[str, Any]) -> dict[str, Any]:
    """The same database, as its owner."""
    return asdict(cluster.connection("owner")) | {"database": database_arguments["database"]}


@pytest.fixture
def database(run: Run[Any], database_arguments: dict[str, Any]) -> Iterator[Database]:
    """The same database, as a pool on the loop of `run`."""
    opened: Database = run(Database.open(database_arguments))
    yield opened
    run(opened.close())


@pytest.fixture
def vault() -> Vault:
    return Vault([bytes(range(32))])


async def _as_superuser(cluster: EmbeddedCluster, *statements: str) -> None:
    stored = json.loads(cluster._folders.passwords.read_text())
    superuser = {"user": "proof_superuser", "password": stored["superuser"], "database": "postgres"}
    connection = await asyncpg.connect(**asdict(cluster.connection("owner")) | superuser)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
