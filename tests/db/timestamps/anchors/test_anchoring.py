"""A chain's trees from open to settled: whatever fails, nothing is lost and nothing is paid twice."""

import itertools
import json
from asyncio import gather
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.anchors import Anchorage, digest_of, tree_of
from tests.support.fake_chain import FakeChain, FakeNetwork, Fault, Killed
from tests.support.pipeline import lost, owner, work

from proof.timestamps.anchors.notices import set_notified
from proof.timestamps.anchors.overview import EnabledChain, overview
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.errors import (
    NotInChainError,
    ProofNotYetError,
    UnknownCurrencyError,
    UnsoundProofError,
)
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.trees import sealing
from proof.timestamps.trees.sealing import LeafMissingError
from proof.timestamps.types import Currency, SubmitStatus

Run = Callable[[Any], Any]
METHODS = ("build", "broadcast", "look", "evidence")
BTC = Currency.BTC


def hashes(network: FakeNetwork) -> list[str]:
    return [block.hash for block in network.blocks]


def test_a_hash_goes_all_the_way(run: Run, anchorage: Anchorage, network: FakeNetwork) -> None:
    async def scene() -> None:
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
        established = await anchorage.proven(digest, hashes(network))
        assert (tree.root, tree.timestamp_ms) == (established.root, established.timestamp_ms)
        assert await lost(anchorage.database, {digest}) == []

    run(scene())


def test_rounds_of_several_owners_share_a_tree_and_are_all_told(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def scene() -> None:
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
            established = await anchorage.proven(digest, hashes(network), identity)
            assert established.root.hex() == told["rootSha256"]
        assert network.carried(bytes.fromhex(told["rootSha256"])) == 1

    run(scene())


def test_the_newest_checkpoint_is_a_leaf(run: Run, anchorage: Anchorage) -> None:
    async def scene() -> None:
        await anchorage.submit(digest_of("checkpoint"))
        await anchorage.turn()
        (row,) = await anchorage.fetch(
            "SELECT t.leaf_count, t.hash_count, hashes, sha256(convert_to(note, 'UTF8')) AS pinned"
            " FROM trees t JOIN tree_tiles ON tree_id = t.id"
            " JOIN log_checkpoints c ON c.size = t.checkpoint_size AND c.environment = t.environment"
        )
        assert (row["leaf_count"], row["hash_count"]) == (2, 1)
        assert row["pinned"] in {row["hashes"][:32], row["hashes"][32:]}

    run(scene())


def test_nothing_is_anchored_before_its_turn_or_without_a_hash(
    run: Run, anchorage: Anchorage, chain: FakeChain, network: FakeNetwork
) -> None:
    async def scene() -> None:
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

    run(scene())


def test_a_tree_whose_rounds_all_stayed_empty_is_not_anchored(
    run: Run, anchorage: Anchorage, chain: FakeChain, network: FakeNetwork
) -> None:
    async def scene() -> None:
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

    run(scene())


def test_while_a_tree_has_no_block_rounds_join_the_next_one(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def scene() -> None:
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
            await anchorage.proven(digest, hashes(network))

    run(scene())


def test_closing_waits_for_nobody_and_sealing_for_all(
    run: Run, anchorage: Anchorage, chain: FakeChain
) -> None:
    async def scene() -> None:
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

    run(scene())


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
        established = await anchorage.proven(digest, hashes(network))
        assert network.carried(established.root) == 1
        tree = tree_of(receipt, BTC)
        stored = await anchorage.fetch("SELECT FROM anchor_transactions WHERE tree_id = $1", tree)
        told = await anchorage.fetch("SELECT FROM outbox WHERE subject = $1", str(tree))
        assert (len(stored), len(told)) == (1, 1)
        assert await anchorage.trouble() is None

    for faults in itertools.product(Fault, repeat=2):
        run(scene(*faults))


def test_a_stored_candidate_is_the_one_that_is_broadcast(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
        digest = digest_of("stored")
        await anchorage.submit(digest)
        chain.fail("broadcast", Fault.FAILED, Fault.FAILED)
        await anchorage.turn()
        (stored,) = await anchorage.fetch(
            "SELECT transaction, broadcast_at FROM anchor_transactions"
        )
        assert (stored["broadcast_at"], network.waiting) == (None, {})
        assert "node" in (await anchorage.trouble() or "")
        await anchorage.anchorer.step()
        await anchorage.another(chain).step()
        assert list(network.waiting) == [stored["transaction"]]

    run(scene())


def test_two_workers_at_once_store_one_candidate(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
        digest = digest_of("two workers")
        await anchorage.submit(digest)
        chain.fail("build", Fault.FAILED)
        await anchorage.turn()
        await gather(*(anchorage.another(chain).step() for _ in range(4)))
        network.mine(4)
        await gather(*(anchorage.another(chain).step() for _ in range(4)))
        established = await anchorage.proven(digest, hashes(network))
        assert network.carried(established.root) == 1
        assert len(await anchorage.fetch("SELECT FROM anchor_transactions")) == 1
        assert len(await anchorage.fetch("SELECT FROM outbox WHERE type = 'timestamp.tree'")) == 1

    run(scene())


def test_a_reorganisation_takes_a_tree_back_and_forward_again(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def scene() -> None:
        digest = digest_of("reorganised")
        await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(3)
        await anchorage.anchorer.step()
        before = await anchorage.proven(digest, hashes(network))
        network.reorganise(3)
        await anchorage.anchorer.step()
        assert await anchorage.status(digest) is SubmitStatus.SUBMITTED
        with pytest.raises(ProofNotYetError):
            await anchorage.proofs.proof(owner(), digest, BTC)
        network.mine(3)
        await anchorage.anchorer.step()
        after = await anchorage.proven(digest, hashes(network))
        assert (after.root, after.leaf) == (before.root, before.leaf)
        assert after.timestamp_ms != before.timestamp_ms
        assert network.carried(after.root) == 1

    run(scene())


def test_a_block_exchanged_unseen_brings_new_evidence(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def scene() -> None:
        digest = digest_of("exchanged")
        await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(3)
        await anchorage.anchorer.step()
        network.reorganise(3)
        network.mine(3)
        await anchorage.anchorer.step()
        assert await anchorage.status(digest) is SubmitStatus.VERIFIED
        await anchorage.proven(digest, hashes(network))

    run(scene())


def test_a_reorganisation_while_a_proof_is_put_together_spoils_nothing(
    run: Run,
    anchorage: Anchorage,
    network: FakeNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        digest = digest_of("reorganised meanwhile")
        await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(3)
        await anchorage.anchorer.step()
        before = hashes(network)
        path = sealing.path

        async def path_meanwhile(*arguments: Any) -> Any:
            network.reorganise(3)
            await anchorage.anchorer.step()
            return await path(*arguments)

        monkeypatch.setattr(sealing, "path", path_meanwhile)
        await anchorage.proven(digest, before)
        assert await anchorage.status(digest) is SubmitStatus.SUBMITTED

    run(scene())


def test_a_settled_tree_is_looked_at_no_more(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
        digest = digest_of("settled")
        await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(100)
        await anchorage.anchorer.step()
        looked = len(chain.calls)
        await anchorage.anchorer.step()
        assert len(chain.calls) == looked
        await anchorage.proven(digest, hashes(network))

    run(scene())


def test_what_lingers_is_replaced_and_any_candidate_may_win(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
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
        assert network.carried((await anchorage.proven(digest, hashes(network))).root) == 1

    run(scene())


def test_a_stored_successor_is_broadcast_after_a_crash(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
        await anchorage.submit(digest_of("successor"))
        await anchorage.turn()
        anchorage.clock.pass_(anchorage.schedule.replace_after)
        chain.fail("broadcast", Fault.FAILED)
        await anchorage.anchorer.step()
        await anchorage.another(chain).step()
        stored = await anchorage.fetch(
            "SELECT transaction FROM anchor_transactions ORDER BY number"
        )
        assert list(network.waiting) == [stored[1]["transaction"]]

    run(scene())


def test_an_evicted_transaction_comes_back_dearer(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
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

    run(scene())


@pytest.mark.parametrize(
    ("attribute", "bad", "good", "words"),
    [
        ("balance", 0, 10_000, "empty"),
        ("ceiling", 1, 10_000, "ceiling"),
        ("name", "main", "regtest", "regtest"),
    ],
)
def test_the_tree_waits_and_the_operator_is_told(
    run: Run,
    anchorage: Anchorage,
    network: FakeNetwork,
    chain: FakeChain,
    attribute: str,
    bad: object,
    good: object,
    words: str,
) -> None:
    async def scene() -> None:
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
        await anchorage.proven(digest, hashes(network))

    run(scene())


def test_unsound_evidence_is_not_published(
    run: Run,
    anchorage: Anchorage,
    network: FakeNetwork,
    chain: FakeChain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        digest = digest_of("unsound")
        await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(3)
        evidence = chain.evidence

        async def of_another_block(root: bytes, candidate: Any) -> Any:
            found = await evidence(root, candidate)
            found.members["header"] = network.blocks[-1].header.hex()
            return found

        monkeypatch.setattr(chain, "evidence", of_another_block)
        await anchorage.anchorer.step()
        assert await anchorage.status(digest) < SubmitStatus.VERIFIED
        assert "refused" in (await anchorage.trouble() or "")
        assert not await anchorage.fetch("SELECT FROM outbox WHERE type = 'timestamp.tree'")
        monkeypatch.setattr(chain, "evidence", evidence)
        await anchorage.anchorer.step()
        await anchorage.proven(digest, hashes(network))

    run(scene())


def test_a_hash_from_before_the_chain_has_its_proof_in_the_log(
    run: Run, anchorage: Anchorage
) -> None:
    async def scene() -> None:
        digest = digest_of("before the chain")
        committer = Committer(anchorage.database)
        committer.start()
        await committer.commit(1, "production", [digest])
        await committer.close()
        await work(anchorage.database, anchorage.folder)
        assert await anchorage.proofs.currency(owner(), 0) is BTC
        with pytest.raises(NotInChainError, match="currencyId 900"):
            await anchorage.proofs.proof(owner(), digest, BTC)
        assert await anchorage.proofs.proof(owner(), digest, Currency.LOG)

    run(scene())


def test_a_chain_that_is_disabled_goes_on_proving(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def scene() -> None:
        digest = digest_of("disabled")
        without = Proofs(anchorage.database, anchorage.clock)
        await anchorage.submit(digest)
        with pytest.raises(UnknownCurrencyError, match=r"enabled: 900 \(LOG\)"):
            await without.currency(owner(), 0)
        await anchorage.turn()
        network.mine(3)
        await anchorage.anchorer.step()
        assert await without.currency(owner(), 0) is BTC
        assert await without.proof(owner(), digest, BTC)
        with pytest.raises(UnknownCurrencyError):
            await without.currency(owner(), 1)

    run(scene())


def test_what_the_operator_is_shown(
    run: Run, anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    async def scene() -> None:
        enabled = EnabledChain("production", chain, anchorage.schedule)
        shown = await overview(anchorage.database, enabled)
        assert (shown.open_tree, shown.last_anchor, shown.spent.per_hash) == (None, None, None)
        for n in range(4):
            await anchorage.submit(digest_of(("shown", n)))
        shown = await overview(anchorage.database, enabled)
        assert shown.open_tree
        assert shown.open_tree.rounds == 1
        due = shown.open_tree.opened_at + anchorage.schedule.every
        assert shown.open_tree.next_anchor_at == due
        await anchorage.turn()
        shown = await overview(anchorage.database, enabled)
        assert shown.last_anchor
        assert shown.last_anchor.status is SubmitStatus.SUBMITTED
        assert (shown.waiting, shown.spent.anchors) == (1, 0)
        network.mine(3)
        await anchorage.anchorer.step()
        shown = await overview(anchorage.database, enabled)
        assert shown.open_tree
        assert shown.open_tree.next_anchor_at is None
        assert shown.standing == await chain.standing()
        assert (shown.spent.anchors, shown.spent.cost, shown.spent.hashes) == (1, 1_000, 4)
        assert shown.spent.per_hash == 250
        network.up = False
        await anchorage.submit(digest_of("unreachable"))
        await anchorage.turn()
        shown = await overview(anchorage.database, enabled)
        assert shown.standing is None
        assert "start it" in (shown.trouble or "")
        assert shown.trouble_since == anchorage.clock.now()

    run(scene())


SPOILED = {
    "another leaf": (
        "UPDATE tree_tiles SET hashes = overlay(hashes PLACING sha256('x') FROM 1)",
        "its tiles are not those",
    ),
    "another root": (
        "UPDATE trees SET root = sha256('x') WHERE currency_id = 0 AND closed_at IS NOT NULL",
        "make the root",
    ),
    "another checkpoint": (
        "UPDATE trees SET checkpoint_size = 99 WHERE currency_id = 0",
        "no checkpoint of 99",
    ),
    "another time": (
        "UPDATE trees SET timestamp_ms = timestamp_ms - 1000 WHERE currency_id = 0",
        "refused",
    ),
    "another block": ("UPDATE trees SET block = repeat('00', 32) WHERE currency_id = 0", "nothing"),
    "evidence of another root": (
        "UPDATE trees SET evidence = jsonb_set(evidence, '{index}', '0') WHERE currency_id = 0",
        "refused",
    ),
}


@pytest.mark.parametrize("damage", SPOILED)
def test_fsck_names_the_tree_that_differs(
    run: Run, anchorage: Anchorage, network: FakeNetwork, damage: str
) -> None:
    async def scene() -> None:
        statement, said = SPOILED[damage]
        digest = digest_of(damage)
        receipt = await anchorage.submit(digest)
        await anchorage.turn()
        network.mine(3)
        await anchorage.anchorer.step()
        assert await lost(anchorage.database, {digest}) == []
        await anchorage.fetch(statement)
        found = await fsck(anchorage.database, lambda *_: None)
        (finding,) = [each for each in found.findings if each.where.startswith("tree ")]
        assert finding.where == f"tree {tree_of(receipt, BTC)}"
        assert said in finding.what
        if damage != "another checkpoint":
            with pytest.raises((UnsoundProofError, LeafMissingError)):
                await anchorage.proofs.proof(owner(), digest, BTC)

    run(scene())
