"""A chain in memory and what anchors into it, on one database that every test finds empty."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.anchors import Anchorage
from tests.support.fake_chain import FakeChain, FakeNetwork

from proof.db import Database
from proof.db.embedded import EmbeddedCluster

_EMPTIED = (
    "rounds, submissions, trees, log_heads, log_keys, log_tiles, log_checkpoints, outbox,"
    " chain_troubles, timestamp_settings, timestamp_usage"
)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    with asyncio.Runner() as runner:

        async def awaited(value: Awaitable[Any]) -> Any:
            return await value

        yield lambda value: runner.run(awaited(value))


@pytest.fixture(scope="module")
def shared(run: Callable[[Any], Any], cluster: EmbeddedCluster) -> Iterator[Database]:
    name = f"anchors_{secrets.token_hex(6)}"
    statements = (
        f"CREATE DATABASE {name} TEMPLATE proof STRATEGY file_copy OWNER proof_owner",
        f"GRANT CONNECT ON DATABASE {name} TO proof_app",
    )
    run(_as_superuser(cluster, "postgres", *statements))
    opened = run(Database.open(asdict(cluster.connection("app")) | {"database": name}))
    yield opened
    run(opened.close())
    run(_as_superuser(cluster, "postgres", f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(
    run: Callable[[Any], Any], cluster: EmbeddedCluster, shared: Database
) -> Iterator[Database]:
    yield shared
    emptied = f"TRUNCATE {_EMPTIED} CASCADE"
    run(_as_superuser(cluster, shared._arguments["database"], emptied))


@pytest.fixture
def network() -> FakeNetwork:
    found = FakeNetwork()
    found.mine()
    return found


@pytest.fixture
def chain(network: FakeNetwork) -> FakeChain:
    return FakeChain(network)


@pytest.fixture
def anchorage(
    run: Callable[[Any], Any], database: Database, chain: FakeChain, tmp_path: Path
) -> Iterator[Anchorage]:
    found = Anchorage(database, tmp_path, chain)
    run(found.start())
    yield found
    run(found.stop())


async def _as_superuser(cluster: EmbeddedCluster, database: str, *statements: str) -> None:
    stored = json.loads(cluster._folders.passwords.read_text())
    superuser = {"user": "proof_superuser", "password": stored["superuser"], "database": database}
    connection = await asyncpg.connect(**asdict(cluster.connection("owner")) | superuser)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
