"""What every chain must do, whichever it is: subclass `ChainSuite` and give it a laboratory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

import pytest

from proof.timestamps.anchors.chain import (
    Candidate,
    CeilingReachedError,
    Chain,
    NodeDownError,
    TransactionRefusedError,
    WalletError,
    WrongNetworkError,
)
from proof.timestamps.anchors.soundness import UnsoundEvidenceError, require_sound
from proof.timestamps.types import Roots, SubmitStatus, Tree

ROOTS = Roots(bytes(range(32)), bytes(range(2, 34)))
OTHER_ROOTS = Roots(bytes(range(1, 33)), bytes(range(3, 35)))


class ChainLab(Protocol):
    """A chain whose network the test rules. `confirmations` is what makes a transaction verified."""

    confirmations: int

    def chain(self) -> Chain:
        """A chain with a wallet that can pay."""
        ...

    def poor(self) -> Chain:
        """One whose wallet is empty."""
        ...

    def capped(self) -> Chain:
        """One whose operator allows less than the network asks for."""
        ...

    def elsewhere(self) -> Chain:
        """One whose settings name another network than its node's."""
        ...

    def mine(self, blocks: int = 1) -> None:
        """Blocks that take what waits."""
        ...

    def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by more, without their transactions, which wait again."""
        ...

    def forget(self) -> None:
        """The network forgets what waits."""
        ...

    def stop(self) -> None:
        """The node goes down."""
        ...

    def start(self) -> None:
        """The node is back."""
        ...


class ChainSuite:
    """The suite. A subclass provides the fixture `lab`.

    `carries_plain_root`: the chain holds both roots of a tree, not the first alone.
    """

    carries_plain_root = True

    async def test_building_tells_nobody(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            assert ROOTS.joined in candidate.raw
            assert candidate.fee > 0
            lab.mine()
            assert (await chain.poll([candidate])).status is SubmitStatus.UNSUBMITTED

    async def test_from_the_network_into_a_block_and_deep_enough(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            await chain.broadcast(candidate)
            sighting = await chain.poll([candidate])
            assert (sighting.status, sighting.candidate) == (SubmitStatus.SUBMITTED, candidate)
            assert sighting.block is None
            for _ in range(lab.confirmations - 1):
                lab.mine()
                sighting = await chain.poll([candidate])
                assert sighting.status is SubmitStatus.INCLUDED
                assert sighting.block
            lab.mine()
            await chain.broadcast(candidate)
            await proven(chain, ROOTS, [candidate])

    async def test_evidence_is_of_one_root_and_one_block(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            lab.mine(lab.confirmations)
            sighting = await chain.poll([candidate])
            evidence = await chain.evidence(ROOTS, candidate)
            assert sighting.block
            wrong_block = sighting.block[:-2] + f"{int(sighting.block[-2:], 16) ^ 1:02x}"
            tree = verified(chain, ROOTS, candidate, evidence.timestamp_ms)
            other = verified(chain, OTHER_ROOTS, candidate, evidence.timestamp_ms)
            later = verified(chain, ROOTS, candidate, evidence.timestamp_ms + 1000)
            require_sound(tree, evidence.members, sighting.block)
            other_plain = replace(tree, plain_root=OTHER_ROOTS.plain)
            for claimed, block in (
                (tree, wrong_block),
                *([(other_plain, sighting.block)] if self.carries_plain_root else []),
                (other, sighting.block),
                (later, sighting.block),
            ):
                with pytest.raises(UnsoundEvidenceError):
                    require_sound(claimed, evidence.members, block)

    async def test_a_reorganisation_takes_it_back_and_forward_again(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            lab.mine(lab.confirmations)
            before = await chain.poll([candidate])
            lab.reorganise(lab.confirmations)
            assert (await chain.poll([candidate])).status is SubmitStatus.SUBMITTED
            lab.mine(lab.confirmations)
            after = await chain.poll([candidate])
            assert after.status is SubmitStatus.VERIFIED
            assert after.block != before.block
            await proven(chain, ROOTS, [candidate])

    async def test_of_two_candidates_one_is_paid(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            first = await chain.build(ROOTS, [])
            await chain.broadcast(first)
            second = await chain.build(ROOTS, [first])
            assert second.fee > first.fee
            assert (await chain.poll([first, second])).candidate == first
            await chain.broadcast(second)
            assert (await chain.poll([first, second])).candidate == second
            third = await chain.build(ROOTS, [first, second])
            await chain.broadcast(third)
            lab.mine()
            assert (await chain.poll([first, second, third])).candidate == third
            for loser in (first, second):
                with pytest.raises(TransactionRefusedError):
                    await chain.broadcast(loser)
            lab.mine(lab.confirmations)
            await proven(chain, ROOTS, [first, second, third])

    async def test_the_candidate_before_may_win(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            first = await chain.build(ROOTS, [])
            await chain.broadcast(first)
            second = await chain.build(ROOTS, [first])
            lab.mine(lab.confirmations)
            with pytest.raises(TransactionRefusedError):
                await chain.broadcast(second)
            sighting = await chain.poll([first, second])
            assert (sighting.status, sighting.candidate) == (SubmitStatus.VERIFIED, first)
            await proven(chain, ROOTS, [first, second])

    async def test_what_the_network_forgot_is_broadcast_again(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            lab.forget()
            assert (await chain.poll([candidate])).status is SubmitStatus.UNSUBMITTED
            await chain.broadcast(candidate)
            assert (await chain.poll([candidate])).status is SubmitStatus.SUBMITTED
            lab.mine()

    async def test_a_node_that_is_down_says_so_and_comes_back(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            lab.stop()
            try:
                for call in (
                    chain.standing(),
                    chain.build(ROOTS, []),
                    chain.broadcast(candidate),
                    chain.poll([candidate]),
                    chain.evidence(ROOTS, candidate),
                ):
                    with pytest.raises(NodeDownError):
                        await call
            finally:
                lab.start()
            await chain.broadcast(candidate)
            assert (await chain.poll([candidate])).status is SubmitStatus.SUBMITTED
            lab.mine()

    async def test_an_empty_wallet_builds_nothing(self, lab: ChainLab) -> None:
        async with opened(lab.poor()) as chain:
            standing = await chain.standing()
            assert (standing.balance, standing.pays_for) == (0, 0)
            with pytest.raises(WalletError):
                await chain.build(ROOTS, [])

    async def test_above_the_ceiling_nothing_is_built(self, lab: ChainLab) -> None:
        async with opened(lab.capped()) as chain:
            with pytest.raises(CeilingReachedError):
                await chain.build(ROOTS, [])

    async def test_on_another_network_nothing_is_done(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])

        async with opened(lab.elsewhere()) as chain:
            for call in (
                chain.standing(),
                chain.build(ROOTS, []),
                chain.broadcast(candidate),
                chain.poll([candidate]),
            ):
                with pytest.raises(WrongNetworkError):
                    await call

    async def test_what_the_operator_reads(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            before = await chain.standing()
            assert before.balance > before.anchor_cost > 0
            assert before.pays_for == before.balance // before.anchor_cost
            lab.mine()
            after = await chain.standing()
            assert (after.height, after.address) == (before.height + 1, before.address)


@asynccontextmanager
async def opened(chain: Chain) -> AsyncIterator[Chain]:
    """The chain, whose connections are closed at the end of the block."""
    try:
        yield chain
    finally:
        await chain.close()


async def proven(chain: Chain, roots: Roots, candidates: list[Candidate]) -> None:
    """The one candidate that is deep in a block has evidence our verifier ties to that block."""
    sighting = await chain.poll(candidates)
    assert sighting.status is SubmitStatus.VERIFIED
    assert sighting.candidate
    evidence = await chain.evidence(roots, sighting.candidate)
    assert 0 < evidence.cost <= sighting.candidate.fee
    tree = verified(chain, roots, sighting.candidate, evidence.timestamp_ms)
    require_sound(tree, evidence.members, sighting.block)


def verified(chain: Chain, roots: Roots, candidate: Candidate, timestamp_ms: int) -> Tree:
    """The tree those facts make."""
    return Tree(
        uuid4(),
        chain.currency,
        SubmitStatus.VERIFIED,
        timestamp_ms,
        roots.root,
        candidate.transaction,
        roots.plain,
    )
