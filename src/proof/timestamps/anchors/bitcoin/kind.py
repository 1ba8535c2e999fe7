"""Bitcoin as a kind of chain: its settings, how it is opened, what it makes us trust."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc
from proof.timestamps.anchors.bitcoin.wallet import FeeCeiling
from proof.timestamps.anchors.kinds import ChainKind, Pace, PaidTable, Surroundings
from proof.verify.evidence.bitcoin.networks import TEST_NETWORKS
from proof.verify.trust import ChainTrust

_BLOCK = timedelta(minutes=10)


class BitcoinTable(PaidTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.bitcoin]`."""

    credentials_file: Path
    wallet: str = ""
    network: Literal["main", "test", "testnet4", "signet", "regtest"] = "main"
    confirmations: int = 6
    target_blocks: int = 6
    max_sat_per_vbyte: float = 50
    max_sat_per_anchor: int = 20_000


def _open(table: BitcoinTable, around: Surroundings) -> BitcoinChain:
    ceiling = FeeCeiling(
        Decimal(str(table.max_sat_per_vbyte)), table.max_sat_per_anchor, table.target_blocks
    )
    rpc = BitcoinRpc(table.url, table.wallet, around.file(table.credentials_file))
    return BitcoinChain(rpc, table.network, table.confirmations, ceiling)


def _pace(table: BitcoinTable) -> Pace:
    return Pace(timedelta(seconds=table.every_s), _BLOCK, table.confirmations)


def _trust(block: bytes) -> ChainTrust:
    """Test networks count: which one a chain is on is the operator's setting."""
    return ChainTrust(bitcoin_blocks=frozenset({block[::-1]}), networks=TEST_NETWORKS)


KIND = ChainKind(
    name="bitcoin",
    table=BitcoinTable,
    open=_open,
    pace=_pace,
    trust=_trust,
    brings_plain_path=True,
)
