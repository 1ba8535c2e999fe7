"""The chain suite's laboratory over a real Anvil."""

from tests.support.anvil import GWEI, POOR_KEY, Anvil

from proof.timestamps.anchors.ethereum.rpc import Rpc
from proof.timestamps.anchors.ethereum.service import EthereumChain, EthereumSettings
from proof.timestamps.anchors.ethereum.signer import load_signer

_MAIN_CHAIN = 1


class AnvilLab:
    """A `ChainLab`."""

    confirmations = 3

    def __init__(self, node: Anvil) -> None:
        self.node = node

    def chain(self) -> EthereumChain:
        return self.node.chain(confirmations=self.confirmations)

    def poor(self) -> EthereumChain:
        return self.node.chain(key=POOR_KEY)

    def capped(self) -> EthereumChain:
        return self.node.chain(ceiling=10)

    def elsewhere(self) -> EthereumChain:
        signer = load_signer(self.node.key_file(), _MAIN_CHAIN)
        return EthereumChain(Rpc(self.node.url), signer, EthereumSettings(100 * GWEI, 3))

    def mine(self, blocks: int = 1) -> None:
        self.node.mine(blocks)

    def reorganise(self, depth: int) -> None:
        self.node.reorganise(depth)

    def forget(self) -> None:
        self.node.forget()

    def stop(self) -> None:
        self.node.stop()

    def start(self) -> None:
        self.node.start()
