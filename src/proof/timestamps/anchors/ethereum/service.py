"""Anchoring through a node and a key of the operator's.

Nonces: a successor of a candidate that can still enter a block takes its nonce, so at most one of them is
paid. A nonce that a transaction of no candidate has taken meanwhile is given up for the next free one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proof.timestamps.anchors.chain import (
    Candidate,
    CeilingReachedError,
    ChainError,
    Evidence,
    NodeSyncingError,
    Sighting,
    Standing,
    TransactionRefusedError,
    WalletError,
    WrongNetworkError,
)
from proof.timestamps.anchors.ethereum.block import (
    UnreadableBlockError,
    header_bytes,
    inclusion,
    unhex,
)
from proof.timestamps.anchors.ethereum.rpc import Rpc, RpcError
from proof.timestamps.anchors.ethereum.signer import Fees, Signer, carried
from proof.timestamps.types import Currency, Roots, SubmitStatus

# 21,000, and for 64 bytes of data at most 40 each (EIP-7623).
GAS = 23_560
# Nodes replace a waiting transaction for a tenth more in both fees; an eighth is safely above.
_BUMP_DIVISOR = 8
_RAW_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class EthereumSettings:
    """`fee_ceiling`: the highest price of a unit of gas, in wei. `confirmations`: blocks from the
    transaction's to the newest, both counted; None waits until the chain calls its block finalized.
    `currency` and `evidence_type`: another chain's, whose blocks are made as Ethereum's."""

    fee_ceiling: int
    confirmations: int | None
    currency: Currency = Currency.ETH
    evidence_type: str = "ethereum"


class EthereumChain:
    """The chain of one node: Ethereum, or one whose blocks and transactions are made as Ethereum's."""

    def __init__(self, rpc: Rpc, signer: Signer, settings: EthereumSettings) -> None:
        self._rpc = rpc
        self._signer = signer
        self._settings = settings

    @property
    def currency(self) -> Currency:
        return self._settings.currency

    @property
    def unit(self) -> str:
        return "wei"

    @property
    def wallet(self) -> str:
        return f"ethereum {self._signer.chain_id} {self._signer.address}"

    async def standing(self) -> Standing:
        """Node and account now."""
        await self._require_ready()
        height, balance = await self._rpc.batch(
            [("eth_blockNumber", []), ("eth_getBalance", [self._signer.address, "latest"])]
        )
        cost = GAS * (await self._fees(())).highest
        owned = _number(balance)
        return Standing(
            f"chain {self._signer.chain_id}",
            _number(height),
            owned,
            cost,
            owned // cost,
            self._signer.address,
        )

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        """See `Chain.build`."""
        await self._require_ready()
        nonce, competing = await self._nonce(replaced)
        fees = await self._fees(competing)
        candidate = self._signer.candidate(roots.joined, nonce, fees, GAS)
        balance = _number(await self._rpc.call("eth_getBalance", self._signer.address, "latest"))
        if balance < candidate.fee:
            raise WalletError(
                f"the account {self._signer.address} holds {balance} wei and an anchor may cost"
                f" {candidate.fee}; send it some ether"
            )
        return candidate

    async def broadcast(self, candidate: Candidate) -> None:
        """See `Chain.broadcast`."""
        await self._require_ready()
        if await self._rpc.call("eth_getTransactionByHash", candidate.transaction):
            return
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + candidate.raw.hex())
        except RpcError as error:
            if "already known" in error.rpc_message.lower():
                return
            raise TransactionRefusedError(error.message) from None

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        """See `Chain.poll`."""
        await self._require_ready()
        hashes = [candidate.transaction for candidate in candidates]
        receipts = await self._rpc.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
        for candidate, receipt in zip(candidates, receipts, strict=True):
            if receipt is not None and receipt.get("blockHash"):
                found = await self._in_block(candidate, receipt)
                if found is not None:
                    return found
        known = await self._known(candidates)
        for candidate, transaction in reversed(list(zip(candidates, known, strict=True))):
            if transaction is not None:
                return Sighting(SubmitStatus.SUBMITTED, candidate)
        return Sighting(SubmitStatus.UNSUBMITTED)

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        """See `Chain.evidence`."""
        assert roots.joined in candidate.raw, "only what carries the roots is evidence for them"
        receipt = await self._rpc.call("eth_getTransactionReceipt", candidate.transaction)
        if receipt is None:
            raise ChainError(f"transaction {candidate.transaction} has left its block; look again")
        block = await self._rpc.call("eth_getBlockByHash", receipt["blockHash"], False)
        if block is None:
            raise ChainError(f"block {receipt['blockHash']} has left the chain; look again")
        index = _number(receipt["transactionIndex"])
        found, path = inclusion(await self._raw_transactions(block), index)
        if found != unhex(block["transactionsRoot"]):
            raise UnreadableBlockError(
                f"the node's transactions of block {block['hash']} are not those of its header"
            )
        return Evidence(
            {
                "type": self._settings.evidence_type,
                "chainId": self._signer.chain_id,
                "header": header_bytes(block).hex(),
                "index": index,
                "proof": [node.hex() for node in path],
            },
            _number(block["timestamp"]) * 1000,
            _number(receipt["gasUsed"]) * _number(receipt["effectiveGasPrice"]),
        )

    async def close(self) -> None:
        """Close connections."""
        await self._rpc.close()

    async def _require_ready(self) -> None:
        chain_id, syncing = await self._rpc.batch([("eth_chainId", []), ("eth_syncing", [])])
        if _number(chain_id) != self._signer.chain_id:
            raise WrongNetworkError(
                f"the Ethereum node is on chain {_number(chain_id)}, the settings say"
                f" {self._signer.chain_id}; correct one of them"
            )
        if syncing:
            raise NodeSyncingError("the Ethereum node is still catching up with its network")

    async def _nonce(self, replaced: Sequence[Candidate]) -> tuple[int, Sequence[Candidate]]:
        """The nonce to use, and the candidates it competes with."""
        address = self._signer.address
        mined, waiting = map(
            _number,
            await self._rpc.batch(
                [
                    ("eth_getTransactionCount", [address, "latest"]),
                    ("eth_getTransactionCount", [address, "pending"]),
                ]
            ),
        )
        if not replaced:
            return waiting, ()
        nonce = carried(replaced[-1]).nonce
        competing = [each for each in replaced if carried(each).nonce == nonce]
        if nonce < mined:
            return waiting, ()
        if nonce >= waiting or any(await self._known(competing)):
            return nonce, competing
        return waiting, ()

    async def _known(self, candidates: Sequence[Candidate]) -> list[Any]:
        """What the node knows of each; None for one it has never seen or has forgotten."""
        return await self._rpc.batch(
            [("eth_getTransactionByHash", [each.transaction]) for each in candidates]
        )

    async def _fees(self, competing: Sequence[Candidate]) -> Fees:
        """Twice the base fee leaves room for six blocks of growth; what competes is outbid."""
        block, tip = await self._rpc.batch(
            [("eth_getBlockByNumber", ["latest", False]), ("eth_maxPriorityFeePerGas", [])]
        )
        base, tip = _number(block["baseFeePerGas"]), _number(tip)
        before = [carried(each).fees for each in competing]
        tip = max([tip, *(_raised(fees.tip) for fees in before)])
        least = max([base + tip, *(_raised(fees.highest) for fees in before)])
        ceiling = self._settings.fee_ceiling
        if least > ceiling:
            raise CeilingReachedError(
                f"a unit of gas costs {least} wei now, and the ceiling is {ceiling};"
                " wait, or raise max_gwei_per_gas"
            )
        return Fees(min(max(least, 2 * base + tip), ceiling), tip)

    async def _in_block(self, candidate: Candidate, receipt: dict[str, Any]) -> Sighting | None:
        """Where a mined candidate stands; None if its block is no longer of the chain."""
        number = receipt["blockNumber"]
        block, newest = await self._rpc.batch(
            [("eth_getBlockByNumber", [number, False]), ("eth_blockNumber", [])]
        )
        if block is None or block["hash"] != receipt["blockHash"]:
            return None
        depth = _number(newest) - _number(number) + 1
        finalized = await self._finalized()
        final = finalized is not None and _number(finalized["number"]) >= _number(number)
        needed = self._settings.confirmations
        deep = final or (needed is not None and depth >= needed)
        status = SubmitStatus.VERIFIED if deep else SubmitStatus.INCLUDED
        return Sighting(status, candidate, str(block["hash"]), final, depth)

    async def _finalized(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = await self._rpc.call(
                "eth_getBlockByNumber", "finalized", False
            )
        except RpcError:
            # Some nodes call it an error that nothing is finalized yet.
            return None
        return found

    async def _raw_transactions(self, block: dict[str, Any]) -> list[bytes]:
        calls: list[tuple[str, list[Any]]] = [
            ("eth_getRawTransactionByBlockHashAndIndex", [block["hash"], hex(index)])
            for index in range(len(block["transactions"]))
        ]
        raw: list[str] = []
        for start in range(0, len(calls), _RAW_AT_ONCE):
            raw += await self._rpc.batch(calls[start : start + _RAW_AT_ONCE])
        return [unhex(each) for each in raw]


def _raised(fee: int) -> int:
    return fee + fee // _BUMP_DIVISOR + 1


def _number(text: str) -> int:
    return int(text, 16)
