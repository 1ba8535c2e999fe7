"""Bitcoin as a chain of ours."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc, RpcError
from proof.timestamps.anchors.bitcoin.wallet import (
    TYPICAL_VBYTES,
    AnchorWallet,
    FeeCeiling,
    market_rate,
    satoshi,
)
from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    Evidence,
    NodeSyncingError,
    Sighting,
    Standing,
    TransactionRefusedError,
    WalletError,
    WrongNetworkError,
)
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify.errors import RefusedError
from proof.verify.evidence.bitcoin.header import double_sha256
from proof.verify.evidence.bitcoin.transaction import read_anchor

# As deep as a miner's reward must be before it can be spent: no reorganisation has come near it.
SETTLED_CONFIRMATIONS: Final = 100

# A node this far behind the headers it knows builds and sees nothing of use.
_BLOCKS_BEHIND: Final = 2
_NOT_FOUND: Final = -5
_NO_SUCH_LABEL: Final = -11
_LABEL: Final = "proof"
_ALREADY_IN_CHAIN: Final = -27

# Malformed, its coins are gone, or against the rules: said of the transaction, not of the node's state.
_JUDGEMENTS: Final = frozenset({-22, -25, -26})
_SENT_BEFORE: Final = ("txn-already-in-mempool", "txn-already-known")


def merkle_path(txids: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from the transaction at `index`, counted from 0, up to the block's Merkle root.

    Hashes are in the order SHA-256 gives them. An odd last node is its own sibling.

    Source: the Bitcoin developer reference, "Merkle Trees".
    """
    path: list[bytes] = []
    level = list(txids)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        path.append(level[index ^ 1])
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index >>= 1
    return path


class BitcoinChain:
    """A bitcoind on `network` (as `getblockchaininfo` names it) and the wallet it holds for us.

    A transaction is verified after `confirmations` blocks, its own counted.
    """

    currency = Currency.BTC
    unit = "sat"

    def __init__(
        self, rpc: BitcoinRpc, network: str, confirmations: int, ceiling: FeeCeiling
    ) -> None:
        self._rpc = rpc
        self._network = network
        self._confirmations = confirmations
        self._ceiling = ceiling
        self._wallet = AnchorWallet(rpc, ceiling)

    @property
    def wallet(self) -> str:
        return f"bitcoin {self._network} {self._rpc.wallet_name}"

    async def standing(self) -> Standing:
        """`anchor_cost` is a transaction of the usual size at the rate the node asks for now."""
        height = await self._require_ready()
        mine = (await self._rpc.wallet("getbalances"))["mine"]
        balance = satoshi(mine["trusted"] + mine["untrusted_pending"])
        rate = await market_rate(self._rpc, self._ceiling.target_blocks)
        cost = max(1, int(rate * TYPICAL_VBYTES))
        address = await self._address()
        return Standing(self._network, height, balance, cost, balance // cost, address)

    async def _address(self) -> str:
        """Where to send coins: always the same, of our label, so that looking fills no wallet with new
        ones. Empty where the wallet makes none, as a locked one whose keys are used up."""
        try:
            return str(min(await self._rpc.wallet("getaddressesbylabel", _LABEL)))
        except RpcError as error:
            if error.rpc_code != _NO_SUCH_LABEL:
                return ""
        try:
            return str(await self._rpc.wallet("getnewaddress", _LABEL))
        except (RpcError, WalletError):
            return ""

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        await self._require_ready()
        if replaced:
            return await self._wallet.successor(roots, replaced)
        return await self._wallet.first(roots)

    async def broadcast(self, candidate: Candidate) -> None:
        await self._require_network()
        try:
            await self._rpc.node("sendrawtransaction", candidate.raw.hex())
        except RpcError as error:
            if error.rpc_code == _ALREADY_IN_CHAIN or error.reason in _SENT_BEFORE:
                return
            if error.rpc_code in _JUDGEMENTS:
                raise TransactionRefusedError(
                    f"the bitcoin node does not take transaction {candidate.transaction}:"
                    f" {error.reason}"
                ) from None
            raise

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        await self._require_network()
        waiting: Candidate | None = None
        for candidate in reversed(candidates):
            found = await self._found(candidate)
            confirmations = found["confirmations"] if found else 0
            if found and confirmations > 0:
                return self._in_block(candidate, str(found["blockhash"]), confirmations)
            # A negative number: a block holds what this one conflicts with.
            if found and confirmations == 0 and waiting is None and await self._waits(candidate):
                waiting = candidate
        if waiting is None:
            return Sighting(SubmitStatus.UNSUBMITTED)
        return Sighting(SubmitStatus.SUBMITTED, waiting)

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        found = await self._found(candidate)
        if not found or found["confirmations"] < self._confirmations:
            raise ChainError(
                f"a reorganisation took transaction {candidate.transaction} away just now"
            )
        block = await self._rpc.node("getblock", found["blockhash"], 1)
        header = await self._rpc.node("getblockheader", found["blockhash"], False)
        index = block["tx"].index(candidate.transaction)
        path = merkle_path([bytes.fromhex(txid)[::-1] for txid in block["tx"]], index)
        try:
            stripped = read_anchor(candidate.raw, roots.root).stripped
        except RefusedError as error:
            raise ChainError(f"transaction {candidate.transaction} is no anchor: {error}") from None
        members: dict[str, object] = {
            "type": "bitcoin",
            "network": self._network,
            "height": block["height"],
            "header": header,
            "transaction": stripped.hex(),
            "index": index,
            "path": [node.hex() for node in path],
        }
        return Evidence(members, block["time"] * 1000, candidate.fee)

    async def close(self) -> None:
        await self._rpc.close()

    def _in_block(self, candidate: Candidate, block: str, confirmations: int) -> Sighting:
        verified = confirmations >= self._confirmations
        return Sighting(
            SubmitStatus.VERIFIED if verified else SubmitStatus.INCLUDED,
            candidate,
            block,
            settled=confirmations >= max(SETTLED_CONFIRMATIONS, self._confirmations),
            confirmations=confirmations,
        )

    async def _found(self, candidate: Candidate) -> Any:
        try:
            return await self._rpc.wallet("gettransaction", candidate.transaction)
        except RpcError as error:
            if error.rpc_code != _NOT_FOUND:
                raise
        return None

    async def _waits(self, candidate: Candidate) -> bool:
        try:
            await self._rpc.node("getmempoolentry", candidate.transaction)
        except RpcError as error:
            if error.rpc_code != _NOT_FOUND:
                raise
            return False
        return True

    async def _require_network(self) -> Any:
        info = await self._rpc.node("getblockchaininfo")
        if info["chain"] != self._network:
            raise WrongNetworkError(
                f"the bitcoin node is on the network {info['chain']!r}, but the chains file says"
                f" {self._network!r}; nothing is sent until they agree"
            )
        return info

    async def _require_ready(self) -> int:
        """The node's height. Raises WrongNetworkError or NodeSyncingError."""
        info = await self._require_network()
        blocks, headers = info["blocks"], info["headers"]
        if info["initialblockdownload"] or headers - blocks > _BLOCKS_BEHIND:
            share = min(Decimal(100), Decimal(info["verificationprogress"]) * 100)
            raise NodeSyncingError(
                f"the bitcoin node is catching up: block {blocks} of {headers} ({share:.1f} %);"
                " trees wait until it has"
            )
        return int(blocks)
