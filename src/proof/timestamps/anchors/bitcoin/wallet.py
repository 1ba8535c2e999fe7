"""Building a transaction with the node's wallet: what it may cost, and what it must hold.

Fee rates are satoshi per virtual byte, as Decimal; amounts are whole satoshi.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc, RpcError
from proof.timestamps.anchors.chain import (
    Candidate,
    CeilingReachedError,
    TransactionRefusedError,
    WalletError,
)
from proof.timestamps.types import Roots
from proof.verify.evidence.ots.format import MAX_MESSAGE_BYTES

SATOSHI: Final = 100_000_000
# One input, the roots and the change, of the oldest kind of address; newer ones take less.
TYPICAL_VBYTES: Final = 266
_OP_RETURN_64: Final = "6a40"
_MAX_OUTPUTS: Final = 2
_KILOBYTE: Final = 1000
# BIP 125, rule 4: a replacement pays for its own relay too; Bitcoin Core's wallet wants 5 sat/vB more.
_RAISE: Final = Decimal("1.25")
_RAISE_AT_LEAST: Final = Decimal(6)
_NOT_IN_WALLET: Final = -5
_INSUFFICIENT_FUNDS: Final = -6


@dataclass(frozen=True, slots=True)
class FeeCeiling:
    """What the operator allows: satoshi per virtual byte, and satoshi for one transaction.

    `target_blocks`: within how many blocks a transaction is meant to be in one.
    """

    max_sat_per_vbyte: Decimal
    max_sat_per_anchor: int
    target_blocks: int


def satoshi(bitcoin: Decimal | int) -> int:
    """An amount as RPC has it, in whole satoshi."""
    return int((Decimal(bitcoin) * SATOSHI).to_integral_value(ROUND_FLOOR))


async def market_rate(rpc: BitcoinRpc, target_blocks: int) -> Decimal:
    """What the node asks for now; at least what its mempool admits."""
    info = await rpc.node("getmempoolinfo")
    floor = max(Decimal(info["mempoolminfee"]), Decimal(info["minrelaytxfee"]))
    estimate = (await rpc.node("estimatesmartfee", target_blocks)).get("feerate")
    # A node that has just started, or a network without traffic, estimates nothing; if twice the floor
    # is too little, the transaction lingers and is replaced.
    rate = max(floor, Decimal(estimate)) if estimate is not None else 2 * floor
    return (rate * SATOSHI / _KILOBYTE).quantize(Decimal("0.001"), ROUND_CEILING)


class AnchorWallet:
    """Builds and signs; broadcasts nothing."""

    def __init__(self, rpc: BitcoinRpc, ceiling: FeeCeiling) -> None:
        self._rpc = rpc
        self._ceiling = ceiling

    async def first(self, roots: Roots) -> Candidate:
        """A transaction with coins of the wallet's choice, at the market's rate.

        Raises CeilingReachedError, WalletError.
        """
        rate = self._within_ceiling(await market_rate(self._rpc, self._ceiling.target_blocks))
        return await self._funded(roots, rate, [])

    async def successor(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        """A transaction that competes with those before it, at a higher rate. Raises as `first` does."""
        market = await market_rate(self._rpc, self._ceiling.target_blocks)
        for before in reversed(replaced):
            if await self._may_enter_a_block(before):
                return await self._bumped(roots, before, market)
        return await self._instead(roots, replaced[-1], self._within_ceiling(market))

    async def _may_enter_a_block(self, candidate: Candidate) -> bool:
        """Whether the wallet knows a candidate, and of no block that holds its coins' other use."""
        try:
            known = await self._rpc.wallet("gettransaction", candidate.transaction)
        except RpcError as error:
            if error.rpc_code != _NOT_IN_WALLET:
                raise
            return False
        return bool(known["confirmations"] >= 0)

    async def _bumped(self, roots: Roots, before: Candidate, market: Decimal) -> Candidate:
        details = await self._rpc.node("decoderawtransaction", before.raw.hex())
        rate = self._raised(Decimal(before.fee) / details["vsize"], market)
        try:
            bumped = await self._rpc.wallet(
                "psbtbumpfee", before.transaction, {"fee_rate": float(rate)}
            )
        except RpcError as error:
            raise _not_bumped(error) from None
        return await self._signed(roots, bumped["psbt"], satoshi(bumped["fee"]))

    async def _instead(self, roots: Roots, refused: Candidate, rate: Decimal) -> Candidate:
        """No candidate the wallet knows can enter a block: the same coins again if they are free."""
        details = await self._rpc.node("decoderawtransaction", refused.raw.hex())
        coins = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in details["vin"]]
        for coin in coins:
            if await self._rpc.node("gettxout", coin["txid"], coin["vout"]) is None:
                # Spent elsewhere: the refused one can never enter a block.
                return await self._funded(roots, rate, [])
        return await self._funded(roots, rate, coins)

    async def _funded(self, roots: Roots, rate: Decimal, coins: list[dict[str, Any]]) -> Candidate:
        options = {"fee_rate": float(rate), "replaceable": True, "add_inputs": True}
        try:
            funded = await self._rpc.wallet(
                "walletcreatefundedpsbt", coins, [{"data": roots.joined.hex()}], 0, options
            )
        except RpcError as error:
            if error.rpc_code in {_INSUFFICIENT_FUNDS, -4}:
                raise WalletError(
                    f"the bitcoin wallet cannot pay for an anchor ({error.reason}): send it coins"
                ) from None
            raise
        return await self._signed(roots, funded["psbt"], satoshi(funded["fee"]))

    async def _signed(self, roots: Roots, psbt: str, fee: int) -> Candidate:
        if fee > self._ceiling.max_sat_per_anchor:
            raise CeilingReachedError(
                f"an anchor would cost {fee} sat, above max_sat_per_anchor"
                f" ({self._ceiling.max_sat_per_anchor}): the tree waits until fees fall or you raise it"
            )
        processed = await self._rpc.wallet("walletprocesspsbt", psbt)
        final = await self._rpc.node("finalizepsbt", processed["psbt"])
        if not final["complete"]:
            raise WalletError("the bitcoin wallet cannot sign with the keys it has")
        details = await self._rpc.node("decoderawtransaction", final["hex"])
        _require_anchor(details, roots)
        return Candidate(details["txid"], bytes.fromhex(final["hex"]), fee)

    def _within_ceiling(self, rate: Decimal) -> Decimal:
        if rate > self._ceiling.max_sat_per_vbyte:
            raise CeilingReachedError(
                f"the bitcoin network asks for {rate.normalize():f} sat/vB, above max_sat_per_vbyte"
                f" ({self._ceiling.max_sat_per_vbyte.normalize():f}): the tree waits until fees fall"
                " or you raise it"
            )
        return rate

    def _raised(self, paid: Decimal, market: Decimal) -> Decimal:
        ceiling = self._ceiling.max_sat_per_vbyte
        least = paid + _RAISE_AT_LEAST
        if least > ceiling:
            raise CeilingReachedError(
                f"a transaction lingers at {paid:.1f} sat/vB and max_sat_per_vbyte"
                f" ({ceiling.normalize():f}) leaves no room for a higher fee: it stays as it is"
            )
        return min(max(paid * _RAISE, least, market), ceiling).quantize(Decimal("0.001"))


def _require_anchor(details: Any, roots: Roots) -> None:
    """One output carries both roots, at most one other is the change, and an `.ots` file can hold it."""
    scripts = [output["scriptPubKey"]["hex"] for output in details["vout"]]
    if len(scripts) > _MAX_OUTPUTS or scripts.count(_OP_RETURN_64 + roots.joined.hex()) != 1:
        raise WalletError(
            "the bitcoin wallet built something else than an anchor; nothing was sent"
        )
    # BIP 141: the weight counts what is no witness four times, the size once.
    stripped_bytes = (details["weight"] - details["size"]) // 3
    if stripped_bytes > MAX_MESSAGE_BYTES:
        # Anchored, every .ots file and every calendar's promise of its tree would fail for ever.
        raise WalletError(
            f"the bitcoin wallet would join {len(details['vin'])} small coins for an anchor, in a"
            f" transaction of {stripped_bytes} bytes where .ots files hold {MAX_MESSAGE_BYTES}: join"
            " them beforehand by sending them to an address of the wallet itself"
        )


def _not_bumped(error: RpcError) -> TransactionRefusedError | WalletError:
    if error.rpc_code == _INSUFFICIENT_FUNDS or "nsufficient" in error.reason:
        return WalletError(
            f"the bitcoin wallet cannot pay a higher fee ({error.reason}): send it coins"
        )
    return TransactionRefusedError(f"the fee cannot be raised: {error.reason}")
