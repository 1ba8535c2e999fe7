"""The words of the timestamp product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple, Self
from uuid import UUID


class Currency(IntEnum):
    """The chains a root can enter: the contract's currencyId and currency, and the folder below `anchors`
    whose `kind` is all that is known of it. The log has none: it is always on."""

    folder: str

    BTC = 0, "bitcoin"
    ETH = 1, "ethereum"
    LOG = 900
    TSA = 901, "tsa"
    UPSTREAM = 902, "upstream"

    def __new__(cls, number: int, folder: str = "") -> Self:
        found = int.__new__(cls, number)
        found._value_ = number
        found.folder = folder
        return found


# The chains beside the log, by environment. The log is always on and not named here.
Chains = Mapping[str, Sequence[Currency]]
NO_CHAINS: Chains = MappingProxyType({})


class SubmitStatus(IntEnum):
    """How far a tree is; only a verified one has a proof."""

    UNSUBMITTED = 0
    SUBMITTED = 1
    INCLUDED = 2
    VERIFIED = 3


class Roots(NamedTuple):
    """The two roots of a tree, 32 bytes each: the contract's, and the plain one of RFC 9162."""

    root: bytes
    plain: bytes

    @property
    def joined(self) -> bytes:
        """The 64 bytes that an entry of the log and a transaction carry."""
        return self.root + self.plain


@dataclass(frozen=True, slots=True)
class TreeRef:
    """A tree a hash belongs to, named before it is closed."""

    tree_id: UUID
    currency: Currency


@dataclass(frozen=True, slots=True)
class Tree:
    """What the contract calls TimestampData; roots, transaction and time exist once verified.

    The plain root is not of TimestampData: evidence carries it.
    """

    tree_id: UUID
    currency: Currency
    status: SubmitStatus
    timestamp_ms: int | None
    root: bytes | None
    transaction: str | None
    plain_root: bytes | None = None

    def wire(self) -> dict[str, object]:
        """TimestampData as the contract spells it."""
        data: dict[str, object] = {
            "treeId": str(self.tree_id),
            "currencyId": int(self.currency),
            "currency": self.currency.name,
            "submitStatus": int(self.status),
        }
        if self.status is SubmitStatus.VERIFIED and self.root is not None:
            data |= {
                "timestamp": self.timestamp_ms,
                "rootSha256": self.root.hex(),
                "transaction": self.transaction,
            }
        return data


@dataclass(frozen=True, slots=True)
class Receipt:
    """The durable outcome of one submission.

    `new` and `existing` keep the order of the request; `created_at` and `trees` are those of the new
    hashes, or of the earliest known one when none is new.
    """

    new: tuple[bytes, ...]
    existing: tuple[bytes, ...]
    created_at: datetime
    trees: tuple[TreeRef, ...]
