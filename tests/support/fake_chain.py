"""A chain in memory that makes regtest blocks, so that what it proves is verified like Bitcoin's.

Any call can be made to fail before it does anything, or after it did all of it.
"""

import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import TypeVar

from proof.timestamps.anchors.bitcoin.chain import merkle_path
from proof.timestamps.anchors.chain import (
    Candidate,
    CeilingReachedError,
    ChainError,
    Evidence,
    NodeDownError,
    Sighting,
    Standing,
    TransactionRefusedError,
    WalletError,
    WrongNetworkError,
)
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify.evidence.bitcoin.header import double_sha256

T = TypeVar("T")

_BITS = bytes.fromhex("ffff7f20")
_TARGET = 0x7FFFFF << 232
_START_S = 1_700_000_000
_BLOCK_S = 600


class Fault(Enum):
    """How a call fails: with nothing done, with all of it done, or by the process's death after it."""

    FAILED = "failed"
    APPLIED = "failed but applied"
    KILLED = "killed"


class Killed(BaseException):
    """The process ended here."""


@dataclass(frozen=True)
class Transaction:
    raw: bytes
    fee: int

    @property
    def txid(self) -> str:
        return double_sha256(self.raw)[::-1].hex()

    @property
    def coin(self) -> bytes:
        return self.raw[5:41]


@dataclass(frozen=True)
class Block:
    header: bytes
    txids: tuple[str, ...]

    @property
    def hash(self) -> str:
        return double_sha256(self.header)[::-1].hex()


@dataclass
class FakeNetwork:
    """Blocks, and the transactions that wait. `floor`: the least fee it takes."""

    blocks: list[Block] = field(default_factory=list)
    waiting: dict[str, Transaction] = field(default_factory=dict)
    known: dict[str, Transaction] = field(default_factory=dict)
    floor: int = 0
    up: bool = True
    numbers: "count[int]" = field(default_factory=count)

    @property
    def hashes(self) -> list[str]:
        """The blocks' hashes, as people write them."""
        return [block.hash for block in self.blocks]

    def mine(self, blocks: int = 1, *, empty: bool = False) -> None:
        for _ in range(blocks):
            taken = [] if empty else list(self.waiting)
            for txid in taken:
                del self.waiting[txid]
            self.blocks.append(self._block((self._reward(), *taken)))

    def reorganise(self, depth: int) -> None:
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        self.mine(depth + 1, empty=True)
        for block in gone:
            self.waiting |= {txid: self.known[txid] for txid in block.txids[1:]}

    def accept(self, transaction: Transaction) -> None:
        """Raises TransactionRefusedError."""
        txid = transaction.txid
        if txid in self.waiting or self.place(txid) is not None:
            return
        if transaction.fee < self.floor:
            raise TransactionRefusedError("the fee is under the floor; it can be raised")
        spent = {self.known[each].coin for block in self.blocks for each in block.txids[1:]}
        rivals = [each for each in self.waiting.values() if each.coin == transaction.coin]
        if transaction.coin in spent or any(rival.fee >= transaction.fee for rival in rivals):
            raise TransactionRefusedError("its coin is spent; another one may be built")
        for rival in rivals:
            del self.waiting[rival.txid]
        self.waiting[txid] = self.known[txid] = transaction

    def place(self, txid: str) -> int | None:
        """The height of the block that holds it."""
        found = (height for height, block in enumerate(self.blocks) if txid in block.txids)
        return next(found, None)

    def carried(self, root: bytes) -> int:
        """How many transactions in blocks carry a root: how often it was paid for."""
        held = [self.known[each] for block in self.blocks for each in block.txids[1:]]
        return sum(root in transaction.raw for transaction in held)

    def _reward(self) -> str:
        # Two blocks of the same transactions are still two blocks.
        return secrets.token_hex(32)

    def _block(self, txids: tuple[str, ...]) -> Block:
        before = double_sha256(self.blocks[-1].header) if self.blocks else bytes(32)
        hashes = [bytes.fromhex(txid)[::-1] for txid in txids]
        node = hashes[0]
        for sibling in merkle_path(hashes, 0):
            node = double_sha256(node + sibling)
        time_s = _START_S + _BLOCK_S * len(self.blocks)
        head = b"\x00\x00\x00\x20" + before + node + time_s.to_bytes(4, "little") + _BITS
        for nonce in count():
            header = head + nonce.to_bytes(4, "little")
            if int.from_bytes(double_sha256(header), "little") <= _TARGET:
                return Block(header, txids)
        raise AssertionError("every second nonce does")


class FakeChain:
    """A wallet and node of a FakeNetwork. `faults` says how the next calls of a method end."""

    currency = Currency.BTC
    unit = "sat"
    wallet = "wallet in memory"

    def __init__(
        self,
        network: FakeNetwork,
        confirmations: int = 3,
        *,
        balance: int = 1_000_000,
        fee: int = 1_000,
        ceiling: int = 100_000,
        name: str = "regtest",
    ) -> None:
        self.network = network
        self.confirmations = confirmations
        self.balance = balance
        self.fee = fee
        self.ceiling = ceiling
        self.name = name
        self.faults: dict[str, deque[Fault]] = {}
        self.calls: list[str] = []

    def fail(self, method: str, *faults: Fault) -> None:
        self.faults[method] = deque(faults)

    async def standing(self) -> Standing:
        self._begin("standing")
        height = len(self.network.blocks)
        found = Standing(self.name, height, self.balance, self.fee, self.balance // self.fee)
        return self._end("standing", found)

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        self._begin("build")
        fee = max([self.fee, self.network.floor, *(before.fee + 100 for before in replaced)])
        if fee > self.ceiling:
            raise CeilingReachedError(f"{fee} sat is above the ceiling; raise it")
        if fee > self.balance:
            raise WalletError("the wallet is empty; send it coins")
        coin = replaced[0].raw[5:41] if replaced else self._coin()
        raw = b"\x02\x00\x00\x00\x01" + coin + b"\x00\xfd\xff\xff\xff"
        raw += b"\x02" + bytes(8) + b"\x42\x6a\x40" + roots.joined
        raw += fee.to_bytes(8, "little") + b"\x01\x51" + bytes(4)
        return self._end("build", Candidate(double_sha256(raw)[::-1].hex(), raw, fee))

    async def broadcast(self, candidate: Candidate) -> None:
        self._begin("broadcast")
        self.network.accept(Transaction(candidate.raw, candidate.fee))
        self._end("broadcast", None)

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        self._begin("look")
        return self._end("look", self._sighting(candidates))

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        self._begin("evidence")
        height = self.network.place(candidate.transaction)
        if height is None:
            raise ChainError("a reorganisation took it away just now")
        block = self.network.blocks[height]
        index = block.txids.index(candidate.transaction)
        path = merkle_path([bytes.fromhex(txid)[::-1] for txid in block.txids], index)
        members: dict[str, object] = {
            "type": "bitcoin",
            "network": "regtest",
            "height": height,
            "header": block.header.hex(),
            "transaction": candidate.raw.hex(),
            "index": index,
            "path": [node.hex() for node in path],
        }
        time_ms = int.from_bytes(block.header[68:72], "little") * 1000
        return self._end("evidence", Evidence(members, time_ms, candidate.fee))

    async def close(self) -> None:
        pass

    def _sighting(self, candidates: Sequence[Candidate]) -> Sighting:
        for candidate in candidates:
            height = self.network.place(candidate.transaction)
            if height is not None:
                deep = len(self.network.blocks) - height
                verified = deep >= self.confirmations
                status = SubmitStatus.VERIFIED if verified else SubmitStatus.INCLUDED
                block = self.network.blocks[height].hash
                return Sighting(status, candidate, block, deep >= 100, deep)
        for candidate in candidates:
            if candidate.transaction in self.network.waiting:
                return Sighting(SubmitStatus.SUBMITTED, candidate)
        return Sighting(SubmitStatus.UNSUBMITTED)

    def _coin(self) -> bytes:
        return secrets.token_bytes(32) + next(self.network.numbers).to_bytes(4, "little")

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        if not self.network.up:
            raise NodeDownError("the node does not answer; start it")
        if self.name != "regtest":
            raise WrongNetworkError("the node is on regtest; correct the settings")
        if self._next(method) is Fault.FAILED:
            self.faults[method].popleft()
            raise NodeDownError("the node went away before it did anything; start it")

    def _end(self, method: str, value: T) -> T:
        fault = self._next(method)
        if fault is None:
            return value
        self.faults[method].popleft()
        if fault is Fault.KILLED:
            raise Killed
        raise NodeDownError("the node went away before it answered; start it")

    def _next(self, method: str) -> Fault | None:
        waiting = self.faults.get(method)
        return waiting[0] if waiting else None
