"""The transactions that carry a root: whatever fails, one is paid, and none is forgotten."""

import itertools
from asyncio import gather
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.anchors import Anchorage, digest_of, tree_of
from tests.support.fake_chain import FakeChain, FakeNetwork, Fault, Killed
from tests.support.pipeline import owner, work

from proof.timestamps.types import Currency, SubmitStatus

Run = Callable[[Any], Any]
BTC = Currency.BTC
METHODS = ("build", "broadcast", "look", "evidence")


@pytest.mark.parametrize("method", METHODS)
def test_whatever_fails_one_transaction_is_paid(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain, method: str
) -> None:
    async def scene(first: Fault, second: Fault) -> None:
        digest = digest_of((method, first, second))
        receipt = await anchorage.submit(digest)
        await work(anchorage.database, anchorage.folder)
        anchorage.clock.pass_(anchorage.schedule.every)
        chain.fail(method, first, second)
        anchorer = anchorage.anchorer
        for _ in range(12):
            try:
                await anchorer.step()
            except Killed:
                anchorer = anchorage.another(chain)
            network.mine()
        # What was applied before it failed is found by looking, not tried again.
        assert len(chain.faults[method]) <= (first is not Fault.FAILED), "the fault came about"
        chain.faults.clear()
        assert await anchorage.status(digest) is SubmitStatus.VERIFIED
        established = await anchorage.proven(digest, network.hashes)
        assert network.carried(established.root) == 1
        tree = tree_of(receipt, BTC)
        stored = await anchorage.fetch("SELECT FROM anchor_transactions WHERE tree_id = $1", tree)
        told = await anchorage.fetch("SELECT FROM outbox WHERE subject = $1", str(tree))
        assert (len(stored), len(told)) == (1, 1)
        assert await anchorage.trouble() is None

    for faults in itertools.product(Fault, repeat=2):
        run(scene(*faults))


async def test_a_stored_candidate_is_the_one_that_is_broadcast(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    digest = digest_of("stored")
    await anchorage.submit(digest)
    chain.fail("broadcast", Fault.FAILED, Fault.FAILED)
    await anchorage.turn()
    (stored,) = await anchorage.fetch("SELECT transaction, broadcast_at FROM anchor_transactions")
    assert (stored["broadcast_at"], network.waiting) == (None, {})
    assert "node" in (await anchorage.trouble() or "")
    await anchorage.anchorer.step()
    await anchorage.another(chain).step()
    assert list(network.waiting) == [stored["transaction"]]


async def test_two_workers_at_once_store_one_candidate(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    digest = digest_of("two workers")
    await anchorage.submit(digest)
    chain.fail("build", Fault.FAILED)
    await anchorage.turn()
    await gather(*(anchorage.another(chain).step() for _ in range(4)))
    network.mine(4)
    await gather(*(anchorage.another(chain).step() for _ in range(4)))
    established = await anchorage.proven(digest, network.hashes)
    assert network.carried(established.root) == 1
    assert len(await anchorage.fetch("SELECT FROM anchor_transactions")) == 1
    assert len(await anchorage.fetch("SELECT FROM outbox WHERE type = 'timestamp.tree'")) == 1


async def test_what_lingers_is_replaced_and_any_candidate_may_win(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    digest = digest_of("lingers")
    await anchorage.submit(digest)
    await anchorage.turn()
    (first,) = network.waiting
    await anchorage.anchorer.step()
    assert list(network.waiting) == [first]
    anchorage.clock.pass_(anchorage.schedule.replace_after)
    await anchorage.anchorer.step()
    (second,) = network.waiting
    assert second != first
    anchorage.clock.pass_(anchorage.schedule.replace_after)
    chain.fail("broadcast", Fault.FAILED)
    await anchorage.anchorer.step()
    # The third is stored and the second wins.
    network.mine(3)
    await anchorage.anchorer.step()
    tree = (await anchorage.proofs.status(owner(), digest)).trees[0]
    assert (tree.status, tree.transaction) == (SubmitStatus.VERIFIED, second)
    assert len(await anchorage.fetch("SELECT FROM anchor_transactions")) == 3
    assert network.carried((await anchorage.proven(digest, network.hashes)).root) == 1


async def test_a_stored_successor_is_broadcast_after_a_crash(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    await anchorage.submit(digest_of("successor"))
    await anchorage.turn()
    anchorage.clock.pass_(anchorage.schedule.replace_after)
    chain.fail("broadcast", Fault.FAILED)
    await anchorage.anchorer.step()
    await anchorage.another(chain).step()
    stored = await anchorage.fetch("SELECT transaction FROM anchor_transactions ORDER BY number")
    assert list(network.waiting) == [stored[1]["transaction"]]


async def test_an_evicted_transaction_comes_back_dearer(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    digest = digest_of("evicted")
    await anchorage.submit(digest)
    await anchorage.turn()
    network.waiting.clear()
    network.floor = 5_000
    await anchorage.anchorer.step()
    assert await anchorage.status(digest) is SubmitStatus.UNSUBMITTED
    assert "fee" in (await anchorage.trouble() or "")
    anchorage.clock.pass_(timedelta(minutes=1))
    await anchorage.anchorer.step()
    assert len(network.waiting) == 1
    await anchorage.anchorer.step()
    assert await anchorage.status(digest) is SubmitStatus.SUBMITTED
    assert await anchorage.trouble() is None


@pytest.mark.parametrize(
    ("attribute", "bad", "good", "words"),
    [
        ("balance", 0, 10_000, "empty"),
        ("ceiling", 1, 10_000, "ceiling"),
        ("name", "main", "regtest", "regtest"),
    ],
)
async def test_the_tree_waits_and_the_operator_is_told(
    anchorage: Anchorage,
    network: FakeNetwork,
    chain: FakeChain,
    attribute: str,
    bad: object,
    good: object,
    words: str,
) -> None:
    digest = digest_of(attribute)
    setattr(chain, attribute, bad)
    await anchorage.submit(digest)
    for _ in range(3):
        await anchorage.turn()
    assert words in (await anchorage.trouble() or "")
    assert await anchorage.status(digest) is SubmitStatus.UNSUBMITTED
    setattr(chain, attribute, good)
    await anchorage.anchorer.step()
    assert await anchorage.trouble() is None
    network.mine(3)
    await anchorage.anchorer.step()
    await anchorage.proven(digest, network.hashes)
