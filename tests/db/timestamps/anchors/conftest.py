"""A chain in memory and what anchors into it, on one database that every test finds empty."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.anchors import Anchorage
from tests.support.copying import as_superuser, copied
from tests.support.fake_chain import FakeChain, FakeNetwork

from proof.db import Database
from proof.db.embedded import EmbeddedCluster

_EMPTIED = (
    "rounds, submissions, trees, logs, outbox, chain_troubles, timestamp_settings, timestamp_usage"
)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    with asyncio.Runner() as runner:

        async def awaited(value: Awaitable[Any]) -> Any:
            return await value

        yield lambda value: runner.run(awaited(value))


@pytest.fixture(scope="module")
def shared(run: Callable[[Any], Any], cluster: EmbeddedCluster) -> Iterator[Database]:
    with copied(cluster, f"anchors_{secrets.token_hex(6)}") as arguments:
        opened = run(Database.open(arguments))
        yield opened
        run(opened.close())


@pytest.fixture
def database(
    run: Callable[[Any], Any], cluster: EmbeddedCluster, shared: Database
) -> Iterator[Database]:
    yield shared
    emptied = f"TRUNCATE {_EMPTIED} CASCADE"
    run(as_superuser(cluster, emptied, database=shared._arguments["database"]))


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
