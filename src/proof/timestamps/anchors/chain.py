"""What Proof needs of a chain: one protocol, whatever the chain.

A tree's roots go into a chain in five steps, each of which may be the last before a crash:

    build      a transaction that carries both roots, signed; nobody else has seen it
    store      by the caller: the candidate is in the database
    broadcast  any number of times; the same candidate, so nothing is paid twice
    look       where the candidates are now; a reorganisation is an answer like any other
    evidence   once a candidate is deep enough: what lets the roots be checked without us

A chain keeps nothing of its own between two calls: whatever it must know is in the candidates it is
given, in its node or in its wallet. It never broadcasts in `build` and never builds in `broadcast`.
`proof.timestamps.anchors.anchoring` calls it and is the only writer of what is stored;
`tests/support/chain_suite.py` is the suite every implementation passes.

Amounts are whole numbers of the chain's smallest unit: satoshi, wei.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from proof.core.errors import OtherSideError
from proof.timestamps.types import Currency, Roots, SubmitStatus

T = TypeVar("T")

# What reading an answer of the wrong shape raises.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError)

_log = structlog.get_logger(__name__)


class ChainError(OtherSideError):
    """The chain cannot do it now: the tree waits and the operator reads the message.

    The message says in words what is wrong and what to do, without URLs or credentials.
    """


class NodeDownError(ChainError):
    """The node does not answer, or not as a node does."""


class NodeSyncingError(ChainError):
    """The node has not caught up with its network."""


class WrongNetworkError(ChainError):
    """The node is on another network than the settings say."""


class WalletError(ChainError):
    """The wallet is missing, locked or empty."""


class WalletBusyError(ChainError):
    """The wallet pays for another tree, which is in no block yet."""


class CeilingReachedError(ChainError):
    """The fee that is asked for is above what the operator allows."""


class TransactionRefusedError(ChainError):
    """The node looked at this candidate and does not take it; another one may be built."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signed transaction that carries a tree's roots.

    `transaction`: its id as the contract's `transaction` has it. `raw`: what is broadcast. `fee`: the
    most that it can cost.
    """

    transaction: str
    raw: bytes = field(repr=False)
    fee: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where the candidates of a tree are at this moment.

    `status`: UNSUBMITTED: the network knows none of them; SUBMITTED: one waits for a block; INCLUDED:
    one is in a block; VERIFIED: deep enough for evidence. `candidate`: which one; None if none.
    `block`: the hash of its block, as the chain writes it; evidence is good for that block only.
    `settled`: so deep that nobody needs to look again. `confirmations`: for people only.
    """

    status: SubmitStatus
    candidate: Candidate | None = None
    block: str | None = None
    settled: bool = False
    confirmations: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ties a root to a block.

    `members`: the payload's `evidence`, of JSON values. `timestamp_ms`: the block's time. `cost`: what
    the transaction took from the wallet.
    """

    members: dict[str, object]
    timestamp_ms: int
    cost: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Node and wallet as an operator sees them.

    `pays_for`: how many anchors the balance covers at today's fee. `address`: where to send coins; empty
    where nothing is paid, or the wallet names none.
    """

    network: str
    height: int
    balance: int
    anchor_cost: int
    pays_for: int
    address: str = ""


class Chain(Protocol):
    """A chain of one environment. Every method may raise ChainError; nothing else that is expected.

    Every call has its own time limit, and none assumes that an earlier one succeeded.
    """

    @property
    def currency(self) -> Currency:
        """Which chain this is."""
        ...

    @property
    def unit(self) -> str:
        """What amounts are counted in, e.g. `sat`; empty where an anchor costs nothing."""
        ...

    @property
    def wallet(self) -> str:
        """What pays, by a name that is the same in every environment it pays for; empty where nothing
        does. Known without asking the node, and no secret."""
        ...

    async def standing(self) -> Standing:
        """Node and wallet now."""
        ...

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        """A new signed transaction that carries the 64 bytes of both roots; it is not broadcast.

        `replaced`: the candidates built for these roots so far, oldest first. While the newest can still
        enter a block the new one competes with it, at a higher fee: at most one of them is ever paid.

        Raises WalletError, CeilingReachedError and what a node's state brings.
        """
        ...

    async def broadcast(self, candidate: Candidate) -> None:
        """Hand a stored candidate to the network. One that is there already is no failure.

        Raises TransactionRefusedError when the node has judged and will not take it; any other
        ChainError leaves open whether it was taken.
        """
        ...

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        """Where these candidates are, oldest first; the one in a block wins over one that waits."""
        ...

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        """What proves both roots through `candidate`, which `look` has just seen VERIFIED."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


async def answered(call: Awaitable[T]) -> T:
    """What a call of a chain's method gives.

    Raises ChainError alone: answers that are no such node's, whatever their shape, are told to the
    operator like any other trouble of the chain.
    """
    try:
        return await call
    except _UNREADABLE as error:
        _log.exception("chain.unreadable")
        raise NodeDownError(
            f"the chain's node answers in a form that is not known here ({type(error).__name__}); is the"
            " right program at its url, in a version that Proof knows?"
        ) from None
