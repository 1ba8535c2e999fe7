"""A chain's trees from open to verified: which rounds a tree takes, when its turn comes, who is told."""

import json

import pytest
from tests.support.anchors import Anchorage, digest_of, tree_of
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.pipeline import VAULT, lost, owner, work
from tests.support.retiring import retire

from proof.timestamps.anchors.chain import Candidate, WalletError
from proof.timestamps.anchors.notices import set_notified
from proof.timestamps.proofs.errors import ProofNotYetError
from proof.timestamps.types import Currency, SubmitStatus

BTC = Currency.BTC


async def test_a_hash_goes_all_the_way(anchorage: Anchorage, network: FakeNetwork) -> None:
    digest = digest_of("all the way")
    receipt = await anchorage.submit(digest)
    assert [tree.currency for tree in receipt.trees] == [BTC, Currency.LOG]
    assert await anchorage.status(digest) is SubmitStatus.UNSUBMITTED
    await anchorage.turn()
    assert await anchorage.status(digest) is SubmitStatus.SUBMITTED
    for status in (SubmitStatus.INCLUDED, SubmitStatus.INCLUDED, SubmitStatus.VERIFIED):
        with pytest.raises(ProofNotYetError):
            await anchorage.proofs.proof(owner(), digest, BTC)
        network.mine()
        await anchorage.anchorer.step()
        assert await anchorage.status(digest) is status
    tree = await anchorage.proofs.tree(owner(), tree_of(receipt, BTC))
    established = await anchorage.proven(digest, network.hashes)
    assert (tree.root, tree.timestamp_ms) == (established.root, established.timestamp_ms)
    assert await lost(anchorage.database, {digest}) == []


async def test_rounds_of_several_owners_share_a_tree_and_are_all_told(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    trees = set()
    for identity in (1, 2, 3):
        for n in range(3):
            digests = [digest_of((identity, n, each)) for each in range(4)]
            receipt = await anchorage.submit(*digests, identity=identity)
            trees.add(tree_of(receipt, BTC))
            await work(anchorage.database, anchorage.folder)
    async with anchorage.database.transaction() as tx:
        await set_notified(tx, 3, [Currency.LOG])
    await anchorage.turn()
    network.mine(3)
    await anchorage.anchorer.step()
    (tree_id,) = trees
    events = await anchorage.fetch(
        "SELECT partner_environment_id, body FROM outbox WHERE subject = $1 ORDER BY 1",
        str(tree_id),
    )
    assert [event["partner_environment_id"] for event in events] == [1, 2]
    told = json.loads(events[0]["body"])
    assert (told["currency"], told["submitStatus"]) == ("BTC", 3)
    for identity in (1, 2, 3):
        digest = digest_of((identity, 2, 3))
        established = await anchorage.proven(digest, network.hashes, identity)
        assert established.root.hex() == told["rootSha256"]
    assert network.carried(bytes.fromhex(told["rootSha256"])) == 1


async def test_who_asks_for_the_logs_trees_is_told_of_each(anchorage: Anchorage) -> None:
    async with anchorage.database.transaction() as tx:
        await set_notified(tx, 1, [Currency.LOG])
    receipt = await anchorage.submit(digest_of("told"))
    await anchorage.turn()
    tree_id = tree_of(receipt, Currency.LOG)
    (event,) = await anchorage.fetch("SELECT body FROM outbox WHERE subject = $1", str(tree_id))
    (row,) = await anchorage.fetch("SELECT root, timestamp_ms FROM trees WHERE id = $1", tree_id)
    assert json.loads(event["body"]) == {
        "treeId": str(tree_id),
        "currencyId": 900,
        "currency": "LOG",
        "submitStatus": 3,
        "timestamp": row["timestamp_ms"],
        "rootSha256": row["root"].hex(),
        "transaction": "0",
    }


async def test_the_newest_checkpoint_is_a_leaf(anchorage: Anchorage) -> None:
    await anchorage.submit(digest_of("checkpoint"))
    await anchorage.turn()
    (row,) = await anchorage.fetch(
        "SELECT t.leaf_count, t.hash_count, hashes, sha256(convert_to(note, 'UTF8')) AS pinned"
        " FROM trees t JOIN tree_tiles ON tree_id = t.id"
        " JOIN log_checkpoints c ON c.size = t.checkpoint_size AND c.log_id = t.checkpoint_log_id"
    )
    assert (row["leaf_count"], row["hash_count"]) == (2, 1)
    assert row["pinned"] in {row["hashes"][:32], row["hashes"][32:]}


async def test_nothing_is_anchored_before_its_turn_or_without_a_hash(
    anchorage: Anchorage, chain: FakeChain, network: FakeNetwork
) -> None:
    await anchorage.submit(digest_of("early"))
    await work(anchorage.database, anchorage.folder)
    await anchorage.anchorer.step()
    assert chain.calls == []
    await anchorage.turn()
    built = chain.calls.count("build")
    network.mine()
    await anchorage.turn()
    await anchorage.turn()
    assert chain.calls.count("build") == built == 1


async def test_a_tree_whose_rounds_all_stayed_empty_is_not_anchored(
    anchorage: Anchorage, chain: FakeChain, network: FakeNetwork
) -> None:
    digest = digest_of("twice")
    await anchorage.submit(digest)
    await anchorage.turn()
    network.mine()
    await anchorage.anchorer.step()
    built = chain.calls.count("build")
    await anchorage.submit(digest)
    # Closed while its one round is open: nobody can know yet that it will stay empty.
    anchorage.clock.pass_(anchorage.schedule.every)
    await anchorage.anchorer.step()
    (closing,) = await anchorage.fetch(
        "SELECT id FROM trees WHERE closed_at IS NOT NULL AND root IS NULL AND currency_id = 0"
    )
    await work(anchorage.database, anchorage.folder)
    await anchorage.anchorer.step()
    assert chain.calls.count("build") == built
    assert not await anchorage.fetch("SELECT FROM trees WHERE id = $1", closing["id"])
    assert await lost(anchorage.database, {digest}) == []


async def test_while_a_tree_has_no_block_rounds_join_the_next_one(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    first, *later = (digest_of(("join", n)) for n in range(4))
    await anchorage.submit(first)
    await anchorage.turn()
    named = set()
    for digest in later:
        named.add(tree_of(await anchorage.submit(digest), BTC))
        await anchorage.turn()
    assert len(named) == 1
    assert len(network.waiting) == 1
    network.mine()
    # What the block holds is seen in one step, and the next tree is closed in the one after.
    await anchorage.anchorer.step()
    await anchorage.anchorer.step()
    network.mine(3)
    await anchorage.anchorer.step()
    for digest in (first, *later):
        await anchorage.proven(digest, network.hashes)


async def test_closing_waits_for_nobody_and_sealing_for_all(
    anchorage: Anchorage, chain: FakeChain
) -> None:
    early, late = digest_of("early round"), digest_of("late round")
    await anchorage.submit(early)
    await work(anchorage.database, anchorage.folder)
    receipt = await anchorage.submit(late, identity=2)
    anchorage.clock.pass_(anchorage.schedule.every)
    await anchorage.anchorer.step()
    assert chain.calls == []
    following = await anchorage.submit(digest_of("next"), identity=3)
    assert tree_of(following, BTC) != tree_of(receipt, BTC)
    await work(anchorage.database, anchorage.folder)
    await anchorage.anchorer.step()
    assert await anchorage.status(early) is SubmitStatus.SUBMITTED
    assert await anchorage.status(late, 2) is SubmitStatus.SUBMITTED


async def test_whatever_a_node_says_is_told(
    anchorage: Anchorage, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def build(*_: object) -> Candidate:
        raise WalletError("its words: \0 and \ud800")

    monkeypatch.setattr(chain, "build", build)
    await anchorage.submit(digest_of("told"))
    await anchorage.turn()
    assert await anchorage.trouble() == r"its words: \x00 and \ud800"


async def test_trees_go_on_over_the_end_of_a_log(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    before, waiting = digest_of("sent before the end"), digest_of("waits at the end")
    await anchorage.submit(before)
    await anchorage.turn()
    await anchorage.submit(waiting)
    await work(anchorage.database, anchorage.folder)
    await retire(anchorage.database, VAULT, anchorage.folder)
    await anchorage.anchorer.step()
    network.mine(3)
    await anchorage.anchorer.step()
    assert await anchorage.status(before) is SubmitStatus.VERIFIED
    await anchorage.turn()
    network.mine(3)
    await anchorage.anchorer.step()
    assert await anchorage.status(waiting) is SubmitStatus.VERIFIED
    rows = await anchorage.fetch(
        "SELECT label FROM trees JOIN logs ON logs.id = checkpoint_log_id ORDER BY closed_at"
    )
    assert [row["label"] for row in rows] == ["production", "production-2"]
    assert await lost(anchorage.database, {before, waiting}) == []
