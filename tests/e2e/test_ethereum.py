"""The chain suite on Anvil, and what is Ethereum's alone: nonces, gas, finality, tries."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import rlp
from tests.support.anvil import GWEI, Anvil, running
from tests.support.anvil_lab import AnvilLab
from tests.support.chain_suite import ChainSuite, opened

from proof.timestamps.anchors.chain import (
    CeilingReachedError,
    NodeDownError,
    TransactionRefusedError,
)
from proof.timestamps.anchors.ethereum.signer import carried
from proof.timestamps.types import Roots, SubmitStatus

ZERO = Roots(bytes(32), bytes(32))


def some_roots() -> Roots:
    return Roots(secrets.token_bytes(32), secrets.token_bytes(32))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    with running(tmp_path_factory.mktemp("anvil")) as found:
        yield found


@pytest.fixture
def lab(node: Anvil) -> AnvilLab:
    node.forget()
    return AnvilLab(node)


class TestEthereumChain(ChainSuite):
    """Every promise of a chain."""


@pytest.mark.parametrize("others", [1, 16, 130])
async def test_among_many_transactions_the_path_is_right(
    node: Anvil, lab: AnvilLab, others: int
) -> None:
    roots = some_roots()

    async with opened(lab.chain()) as chain:
        accounts = node.ask("eth_accounts")
        for number in range(others):
            sent = {
                "from": accounts[1 + number % 9],
                "to": accounts[1],
                "value": hex(number),
                "gas": hex(21_000),
            }
            node.ask("eth_sendTransaction", sent)
        candidate = await chain.build(roots, [])
        await chain.broadcast(candidate)
        node.mine(3)
        path = (await chain.evidence(roots, candidate)).members["proof"]
        assert isinstance(path, list)
        assert len(path) >= 2
        assert rlp.decode(bytes.fromhex(path[-1]))[1] == candidate.raw


async def test_a_successor_outbids_with_the_same_nonce(lab: AnvilLab) -> None:
    async with opened(lab.chain()) as chain:
        first = await chain.build(ZERO, [])
        await chain.broadcast(first)
        second = await chain.build(ZERO, [first])
        assert carried(second).nonce == carried(first).nonce
        for before, after in zip(carried(first).fees, carried(second).fees, strict=True):
            assert after * 10 >= before * 11


async def test_a_nonce_that_was_taken_is_given_up(node: Anvil, lab: AnvilLab) -> None:
    async with opened(lab.chain()) as chain:
        ours, other = [await chain.build(some_roots(), []) for _ in range(2)]
        assert carried(ours).nonce == carried(other).nonce
        await chain.broadcast(other)
        with pytest.raises(TransactionRefusedError):
            await chain.broadcast(ours)
        again = await chain.build(ZERO, [ours])
        await chain.broadcast(again)
        node.mine()
        assert (await chain.poll([other])).status is SubmitStatus.INCLUDED
        assert (await chain.poll([ours, again])).candidate == again


async def test_successors_stop_at_the_ceiling(node: Anvil) -> None:
    node.forget()
    async with opened(node.chain(ceiling=4 * GWEI)) as chain:
        candidates = [await chain.build(ZERO, [])]
        await chain.broadcast(candidates[0])
        with suppress(CeilingReachedError):
            for _ in range(40):
                candidates.append(await chain.build(ZERO, candidates))
        assert 2 <= len(candidates) < 41
        assert carried(candidates[-1]).fees.highest <= 4 * GWEI


async def test_finality_is_asked_for_when_no_count_is_set(node: Anvil, lab: AnvilLab) -> None:
    async with opened(node.chain(confirmations=None)) as chain:
        candidate = await chain.build(ZERO, [])
        await chain.broadcast(candidate)
        node.mine(3)
        assert (await chain.poll([candidate])).status is SubmitStatus.INCLUDED
        node.mine(70)
        seen = await chain.poll([candidate])
        assert (seen.status, seen.settled) == (SubmitStatus.VERIFIED, True)


async def test_a_node_that_is_gone_is_named_without_its_url(tmp_path: Path) -> None:
    with running(tmp_path) as gone:
        chain = gone.chain()
    async with opened(chain):
        with pytest.raises(NodeDownError, match="is it running") as down:
            await chain.standing()
    assert "127.0.0.1" not in str(down.value)
