"""Blocks that are exchanged for others, until a tree is settled."""

from typing import Any

import pytest
from tests.support.anchors import Anchorage, digest_of
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.pipeline import owner

from proof.timestamps.proofs.errors import ProofNotYetError
from proof.timestamps.trees import sealing
from proof.timestamps.types import Currency, SubmitStatus

BTC = Currency.BTC


async def test_a_reorganisation_takes_a_tree_back_and_forward_again(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    digest = digest_of("reorganised")
    await anchorage.anchored(digest, network)
    before = await anchorage.proven(digest, network.hashes)
    network.reorganise(3)
    await anchorage.anchorer.step()
    assert await anchorage.status(digest) is SubmitStatus.SUBMITTED
    with pytest.raises(ProofNotYetError):
        await anchorage.proofs.proof(owner(), digest, BTC)
    network.mine(3)
    await anchorage.anchorer.step()
    after = await anchorage.proven(digest, network.hashes)
    assert (after.root, after.leaf) == (before.root, before.leaf)
    assert after.timestamp_ms != before.timestamp_ms
    assert network.carried(after.root) == 1


async def test_a_block_exchanged_unseen_brings_new_evidence(
    anchorage: Anchorage, network: FakeNetwork
) -> None:
    digest = digest_of("exchanged")
    await anchorage.anchored(digest, network)
    network.reorganise(3)
    network.mine(3)
    await anchorage.anchorer.step()
    assert await anchorage.status(digest) is SubmitStatus.VERIFIED
    await anchorage.proven(digest, network.hashes)


async def test_a_reorganisation_while_a_proof_is_put_together_spoils_nothing(
    anchorage: Anchorage, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of("reorganised meanwhile")
    await anchorage.anchored(digest, network)
    before = network.hashes
    paths = sealing.paths

    async def paths_meanwhile(*arguments: Any) -> Any:
        network.reorganise(3)
        await anchorage.anchorer.step()
        return await paths(*arguments)

    monkeypatch.setattr(sealing, "paths", paths_meanwhile)
    await anchorage.proven(digest, before)
    assert await anchorage.status(digest) is SubmitStatus.SUBMITTED


async def test_a_settled_tree_is_looked_at_no_more(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    digest = digest_of("settled")
    await anchorage.submit(digest)
    await anchorage.turn()
    network.mine(100)
    await anchorage.anchorer.step()
    looked = len(chain.calls)
    await anchorage.anchorer.step()
    assert len(chain.calls) == looked
    await anchorage.proven(digest, network.hashes)
