"""Rounds are opened while trees are closed: each is in the tree its owner was told, or in none."""

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.anchors import Anchorage, digest_of, tree_of
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.pipeline import owner, work

from proof.db import Database
from proof.timestamps.anchors.anchoring import Schedule
from proof.timestamps.submissions import queries
from proof.timestamps.trees import aggregation
from proof.timestamps.types import Currency, SubmitStatus

_TREES = 4
BTC, ETH, LOG = Currency.BTC, Currency.ETH, Currency.LOG


async def opened(database: Database, *currencies: Currency) -> list[Any]:
    async with database.connection() as connection:
        return await queries.open_round(
            connection, 1, "production", bytes(32), uuid4(), LOG, [int(each) for each in currencies]
        )


async def test_a_round_is_linked_to_every_chain_or_not_opened(database: Database) -> None:
    assert await opened(database, BTC, ETH) == []
    async with database.connection() as connection:
        await queries.open_trees(connection, "production", [BTC])
    assert await opened(database, BTC, ETH) == []
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM rounds") == 0
        await queries.open_trees(connection, "production", [BTC, ETH])
        await queries.open_trees(connection, "production", [BTC, ETH])
        assert await connection.fetchval("SELECT count(*) FROM trees") == 2
    rows = await opened(database, ETH, BTC)
    assert [row["currency_id"] for row in rows] == [BTC, ETH, LOG]
    assert [row["currency_id"] for row in await opened(database)] == [LOG]


async def test_opening_waits_for_whoever_closes_and_then_takes_the_successor(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await queries.open_trees(connection, "production", [BTC])
        before = await connection.fetchval("SELECT id FROM trees")
        now = await connection.fetchval("SELECT now()")
    await opened(database, BTC)
    async with database.transaction() as tx:
        assert await aggregation.lock_due(tx, "production", BTC, now) == before
        opening = asyncio.create_task(opened(database, BTC))
        await waits_for_a_lock(database)
        await aggregation.close(tx, before, "production", BTC, now)
    # Its view is of before the successor, so it wrote nothing; asked again, it sees it.
    assert await opening == []
    rows = await opened(database, BTC)
    assert rows[0]["tree_id"] != before


async def test_closing_waits_for_whoever_opens(database: Database) -> None:
    async with database.connection() as connection:
        await queries.open_trees(connection, "production", [BTC])
        now = await connection.fetchval("SELECT now()")
    await opened(database, BTC)

    async def close() -> Any:
        async with database.transaction() as tx:
            return await aggregation.lock_due(tx, "production", BTC, now)

    async with database.transaction() as tx:
        await queries.open_round(tx, 1, "production", bytes(32), uuid4(), LOG, [BTC])
        closing = asyncio.create_task(close())
        await waits_for_a_lock(database)
        assert not closing.done()
    assert await closing is not None


async def test_hashes_that_come_while_trees_are_closed_are_all_anchored(
    database: Database, network: FakeNetwork, tmp_path: Path
) -> None:
    chain = FakeChain(network, confirmations=1)
    schedule = Schedule(timedelta(microseconds=1), timedelta(hours=1))
    anchorage = Anchorage(database, tmp_path, chain, schedule)
    await anchorage.start()
    told: dict[tuple[int, bytes], Any] = {}
    enough = asyncio.Event()

    async def submit(identity: int) -> None:
        for n in itertools.count():
            if enough.is_set():
                return
            digest = digest_of((identity, n))
            receipt = await anchorage.submit(digest, identity=identity)
            told[identity, digest] = tree_of(receipt, BTC)

    async def turn() -> None:
        await work(database, anchorage.folder)
        anchorage.clock.pass_(timedelta(seconds=1))
        await anchorage.anchorer.step()
        network.mine()
        await anchorage.anchorer.step()

    submitting = [asyncio.create_task(submit(identity)) for identity in range(1, 9)]
    while len(set(told.values())) < _TREES:
        await turn()
    enough.set()
    await asyncio.gather(*submitting)
    for _ in range(4):
        await turn()
    await anchorage.stop()
    blocks = network.hashes
    seldom = len(told) // 50 + 1
    for (identity, digest), tree_id in list(told.items())[::seldom]:
        tree = await anchorage.proofs.tree(owner(identity), tree_id)
        assert tree.status is SubmitStatus.VERIFIED
        assert (await anchorage.proven(digest, blocks, identity)).root == tree.root


async def waits_for_a_lock(database: Database) -> None:
    """Returns once a backend of this database waits for another's lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(120), database.connection() as connection:
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)
