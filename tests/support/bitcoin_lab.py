"""The chain suite's laboratory over a real regtest bitcoind."""

from decimal import Decimal
from pathlib import Path

from tests.support.bitcoin import WALLET, Regtest

from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc
from proof.timestamps.anchors.bitcoin.wallet import FeeCeiling

CEILING = FeeCeiling(Decimal(100), 50_000, 6)
_EMPTY = "empty"


class BitcoinLab:
    """A `ChainLab`."""

    confirmations = 3

    def __init__(self, node: Regtest) -> None:
        self.node = node

    def chain(
        self,
        *,
        wallet: str = WALLET,
        network: str = "regtest",
        ceiling: FeeCeiling = CEILING,
        credentials: Path | None = None,
    ) -> BitcoinChain:
        rpc = BitcoinRpc(self.node.url, wallet, credentials or self.node.cookie)
        return BitcoinChain(rpc, network, self.confirmations, ceiling)

    def poor(self) -> BitcoinChain:
        if _EMPTY not in self.node.call("listwallets"):
            self.node.call("createwallet", _EMPTY)
        return self.chain(wallet=_EMPTY)

    def capped(self) -> BitcoinChain:
        return self.chain(ceiling=FeeCeiling(Decimal("0.5"), 50_000, 6))

    def elsewhere(self) -> BitcoinChain:
        return self.chain(network="main")

    def mine(self, blocks: int = 1) -> None:
        self.node.mine(blocks)

    def reorganise(self, depth: int) -> None:
        self.node.reorganise(depth)

    def forget(self) -> None:
        self.node.restart("-persistmempool=0")

    def stop(self) -> None:
        self.node.stop()

    def start(self) -> None:
        self.node.start()
