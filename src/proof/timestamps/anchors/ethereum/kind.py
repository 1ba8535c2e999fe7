"""Ethereum as a kind of chain: its settings, how it is opened, what it makes us trust."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from proof.timestamps.anchors.ethereum.rpc import Rpc
from proof.timestamps.anchors.ethereum.service import EthereumChain, EthereumSettings
from proof.timestamps.anchors.ethereum.signer import load_signer
from proof.timestamps.anchors.kinds import ChainKind, Pace, PaidTable, Surroundings
from proof.verify.trust import ChainTrust

WEI_PER_GWEI = 10**9
_SLOT = timedelta(seconds=12)
# Two epochs of 32 slots, and up to one until the transaction's own epoch ends.
_SLOTS_UNTIL_FINALIZED = 96


class EthereumTable(PaidTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.ethereum]`. Without `confirmations`, blocks count once they are finalized."""

    key_file: Path
    chain_id: int = 1
    confirmations: int | None = None
    max_gwei_per_gas: float = 50


def _open(table: EthereumTable, around: Surroundings) -> EthereumChain:
    signer = load_signer(around.private_file(table.key_file), table.chain_id)
    ceiling = int(Decimal(str(table.max_gwei_per_gas)) * WEI_PER_GWEI)
    return EthereumChain(Rpc(table.url), signer, EthereumSettings(ceiling, table.confirmations))


def _pace(table: EthereumTable) -> Pace:
    return Pace(
        timedelta(seconds=table.every_s), _SLOT, table.confirmations or _SLOTS_UNTIL_FINALIZED
    )


def _trust(block: bytes) -> ChainTrust:
    return ChainTrust(ethereum_blocks=frozenset({block}))


KIND = ChainKind(name="ethereum", table=EthereumTable, open=_open, pace=_pace, trust=_trust)
