"""What a kind of chain tells of itself, and the kinds there are.

A kind is a folder beside this file whose module `kind` has it as `KIND`, and a line of `Currency` that
names the folder. Nothing else knows it by name: the chains file has its table, the worker opens it, its
trees are checked by the trust it gives. How to add one: `docs/howto/add-a-chain.md`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from proof.core.clock import Clock
from proof.timestamps.anchors.chain import Chain
from proof.timestamps.types import Currency
from proof.verify.trust import ChainTrust


class ChainTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every chain's table in the chains file holds. Paths are relative to that file.

    `every_s`: a tree is closed when it is so old and holds a hash.
    """

    url: str
    every_s: int = 3600

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PaidTable(ChainTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the table of a chain holds whose transactions cost a fee.

    `replace_after_s`: how long a transaction may linger before one at a higher fee replaces it.
    """

    replace_after_s: int = 3600


TableT = TypeVar("TableT", bound=ChainTable)


@dataclass(frozen=True, slots=True)
class Pace:
    """A tree is closed `every` so often; from there on a block comes each `block`, on average, and
    `blocks` of them verify it."""

    every: timedelta
    block: timedelta
    blocks: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a chain is opened in. `file` makes a path of its table absolute; `private_file` does too, and
    raises ProofError for one that others can read. `origins`: those of this installation's own logs."""

    clock: Clock
    file: Callable[[Path], Path]
    private_file: Callable[[Path], Path]
    origins: Collection[str] = ()


def _nothing_wrong(_table: ChainTable) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainKind(Generic[TableT]):
    """All that is known of one kind of chain.

    `name`: its table's in the chains file, `[<environment>.<name>]`. `problems`: what is wrong with a table
    beyond its types, each beginning with a field's name. `open` asks no node; it raises ProofError, OSError
    or ValueError for a file or a name that cannot be used. `trust`: in the one block with that hash, in the
    bytes that the chain writes it with, and in nothing else; evidence is checked under it before it is
    published. `other_side`: what an operator calls whoever answers at its url. `carries_plain_root`: it
    holds both roots of a tree, not the first alone. `brings_plain_path`: its proofs hold the plain path,
    from which `.ots` files are made.
    """

    name: str
    table: type[TableT]
    open: Callable[[TableT, Surroundings], Chain]
    pace: Callable[[TableT], Pace]
    trust: Callable[[bytes], ChainTrust]
    problems: Callable[[TableT], Sequence[str]] = _nothing_wrong
    other_side: str = "node"
    carries_plain_root: bool = True
    brings_plain_path: bool = False


@cache
def kinds() -> Mapping[Currency, ChainKind[Any]]:
    """Every kind beside the log, which is always on and has no settings, by currencyId."""
    return {currency: _kind(currency.folder) for currency in Currency if currency.folder}


def kind_of(currency: Currency) -> ChainKind[Any]:
    """Raises LookupError for the log."""
    return kinds()[currency]


def _kind(folder: str) -> ChainKind[Any]:
    module = import_module(f"{__package__}.{folder}.kind")
    found: object = module.KIND
    if not isinstance(found, ChainKind):
        raise TypeError(f"KIND of {module.__name__} is no ChainKind")
    return found
