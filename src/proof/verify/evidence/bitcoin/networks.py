"""Bitcoin's networks: how each begins, how easy a block may be, and how the target moves.

Source: Bitcoin Core, `src/kernel/chainparams.cpp`. Names are those of `getblockchaininfo`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class TargetRule(Enum):
    """How a network's target follows from the headers before."""

    EVERY_2016 = "recomputed after every 2,016 blocks"
    CONSTANT = "always the easiest"
    UNCHECKED = "has exceptions that are not checked here"


@dataclass(frozen=True, slots=True)
class Network:
    """`genesis`: hash of the first block as SHA-256 gives it. `easiest_bits`: its largest target."""

    name: str
    genesis: bytes
    easiest_bits: int
    rule: TargetRule


def _network(name: str, genesis: str, easiest_bits: int, rule: TargetRule) -> Network:
    return Network(name, bytes.fromhex(genesis)[::-1], easiest_bits, rule)


MAIN: Final = "main"

NETWORKS: Final = {
    network.name: network
    for network in (
        _network(
            MAIN,
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            0x1D00FFFF,
            TargetRule.EVERY_2016,
        ),
        _network(
            "test",
            "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
            0x1D00FFFF,
            TargetRule.UNCHECKED,  # a block 20 minutes late may have the easiest target
        ),
        _network(
            "testnet4",
            "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
            0x1D00FFFF,
            TargetRule.UNCHECKED,  # likewise
        ),
        _network(
            "signet",
            "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
            0x1E0377AE,
            TargetRule.EVERY_2016,
        ),
        _network(
            "regtest",
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            0x207FFFFF,
            TargetRule.CONSTANT,
        ),
    )
}

TEST_NETWORKS: Final = frozenset(NETWORKS) - {MAIN}
"""Anybody can make blocks of these, so they count only when the caller names them."""
