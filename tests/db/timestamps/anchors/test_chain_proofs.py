"""Proofs of a chain's trees: which are given out, and what damage is found before they are."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.anchors import BLOCK, BLOCKS, SCHEDULE, Anchorage, digest_of, tree_of
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.partners import tamper
from tests.support.pipeline import lost, owner, work

from proof.core.canonical import canonical_json
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.errors import (
    NotInChainError,
    ProofNotYetError,
    UnknownCurrencyError,
    UnsoundProofError,
)
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.trees.sealing import LeafMissingError
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify import verify_payload

Run = Callable[[Any], Any]
BTC = Currency.BTC


async def test_unsound_evidence_is_not_published(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of("unsound")
    await anchorage.submit(digest)
    await anchorage.turn()
    network.mine(3)
    evidence = chain.evidence

    async def of_another_block(roots: Roots, candidate: Any) -> Any:
        found = await evidence(roots, candidate)
        found.members["header"] = network.blocks[-1].header.hex()
        return found

    monkeypatch.setattr(chain, "evidence", of_another_block)
    await anchorage.anchorer.step()
    assert await anchorage.status(digest) < SubmitStatus.VERIFIED
    assert "refused" in (await anchorage.trouble() or "")
    assert not await anchorage.fetch("SELECT FROM outbox WHERE type = 'timestamp.tree'")
    monkeypatch.setattr(chain, "evidence", evidence)
    await anchorage.anchorer.step()
    await anchorage.proven(digest, network.hashes)


async def test_a_hash_from_before_the_chain_has_its_proof_in_the_log(anchorage: Anchorage) -> None:
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


async def test_a_chain_that_is_disabled_goes_on_proving(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
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


async def test_the_proofs_of_many_hashes_are_those_of_each(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    anchored, logged, unknown = map(digest_of, ("anchored", "logged", "unknown"))
    await anchorage.anchored(anchored, network)
    await anchorage.submit(logged)
    await work(anchorage.database, anchorage.folder)
    asked = [logged, unknown, anchored]
    found = await anchorage.proofs.proofs(owner(), asked)
    bundle = await anchorage.proofs.bundle(owner(), asked)
    assert found == bundle.payloads
    assert {
        digest: [canonical_json(each) for each in payloads] for digest, payloads in found.items()
    } == {
        logged: [await anchorage.proofs.proof(owner(), logged, Currency.LOG)],
        anchored: [
            await anchorage.proofs.proof(owner(), anchored, currency)
            for currency in (Currency.LOG, BTC)
        ],
    }
    for payload in [*found[anchored], *found[logged]]:
        raw = canonical_json(payload)
        assert verify_payload(raw, log_keys=bundle.log_keys, chains=bundle.chains).tied
    assert await anchorage.proofs.proofs(owner(), []) == {}


def test_who_is_early_is_told_when_to_ask_again(
    run: Run, anchorage: Anchorage, network: FakeNetwork
) -> None:
    async def early(digest: bytes) -> int:
        with pytest.raises(ProofNotYetError) as told:
            await anchorage.proofs.proof(owner(), digest, BTC)
        return told.value.retry_after_s

    async def scene() -> None:
        digest, block_s = digest_of("early"), BLOCK.total_seconds()
        await anchorage.submit(digest)
        until_closed_s = await early(digest) - BLOCKS * block_s
        assert 0 < until_closed_s <= SCHEDULE.every.total_seconds()
        await anchorage.turn()
        assert await early(digest) == BLOCKS * block_s
        network.mine(1)
        await anchorage.anchorer.step()
        assert await early(digest) == block_s

    run(scene())


SPOILED = {
    "another leaf": (
        "UPDATE tree_tiles SET hashes = overlay(hashes PLACING sha256('x') FROM 1)",
        "its tiles are not those",
    ),
    "other plain leaves": (
        "UPDATE tree_tiles SET plain = sha256('x') || sha256('y')",
        "its tiles are not those",
    ),
    "another plain leaf of the round": (
        "UPDATE rounds SET plain_root = sha256('x')",
        "make the plain root",
    ),
    "another plain root": (
        "UPDATE trees SET plain_root = sha256('x') WHERE currency_id = 0 AND closed_at IS NOT NULL",
        "make the plain root",
    ),
    "a plain root in the place of the root": (
        "UPDATE trees SET root = plain_root, plain_root = root WHERE currency_id = 0 AND root IS NOT NULL",
        "make the root",
    ),
    "another root": (
        "UPDATE trees SET root = sha256('x') WHERE currency_id = 0 AND closed_at IS NOT NULL",
        "make the root",
    ),
    "another checkpoint": (
        "UPDATE trees SET checkpoint_size = 99 WHERE checkpoint_size IS NOT NULL",
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
async def test_fsck_names_the_tree_that_differs(
    anchorage: Anchorage, network: FakeNetwork, damage: str
) -> None:
    statement, said = SPOILED[damage]
    digest = digest_of(damage)
    receipt = await anchorage.anchored(digest, network)
    assert await lost(anchorage.database, {digest}) == []
    await tamper(anchorage.database, statement)
    found = await fsck(anchorage.database, lambda *_: None)
    (finding,) = [each for each in found.findings if each.where.startswith("tree ")]
    assert finding.where == f"tree {tree_of(receipt, BTC)}"
    assert said in finding.what
    # What a proof is made of is right where these are wrong.
    if damage not in {
        "another checkpoint",
        "another plain root",
        "another plain leaf of the round",
    }:
        with pytest.raises((UnsoundProofError, LeafMissingError)):
            await anchorage.proofs.proof(owner(), digest, BTC)
