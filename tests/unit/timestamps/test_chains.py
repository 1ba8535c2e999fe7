"""The suite of chains, over the fake one and over a real bitcoind."""

from collections.abc import Iterator

import pytest
from tests.support.bitcoin import regtest
from tests.support.bitcoin_lab import BitcoinLab
from tests.support.chain_suite import ChainSuite
from tests.support.fake_chain import FakeChain, FakeNetwork


class FakeLab:
    """A `ChainLab` in memory."""

    confirmations = 3

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.network.mine()

    def chain(self) -> FakeChain:
        return FakeChain(self.network, self.confirmations)

    def poor(self) -> FakeChain:
        return FakeChain(self.network, balance=0)

    def capped(self) -> FakeChain:
        return FakeChain(self.network, ceiling=1)

    def elsewhere(self) -> FakeChain:
        return FakeChain(self.network, name="main")

    def mine(self, blocks: int = 1) -> None:
        self.network.mine(blocks)

    def reorganise(self, depth: int) -> None:
        self.network.reorganise(depth)

    def forget(self) -> None:
        self.network.waiting.clear()

    def stop(self) -> None:
        self.network.up = False

    def start(self) -> None:
        self.network.up = True


class TestFake(ChainSuite):
    @pytest.fixture
    def lab(self) -> FakeLab:
        return FakeLab()


@pytest.fixture(scope="module")
def bitcoin_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BitcoinLab]:
    with regtest(tmp_path_factory.mktemp("bitcoin") / "node") as node:
        yield BitcoinLab(node)


class TestBitcoin(ChainSuite):
    @pytest.fixture
    def lab(self, bitcoin_lab: BitcoinLab) -> BitcoinLab:
        return bitcoin_lab
