"""Sealing: a round is closed, then its tree is built and stored.

Two transactions, in crash order. Closing takes the row for update and commits at once, so that
nobody waits at the fence while a large tree is built. Stopped after it, the round is closed and the
next look seals it. Sealing locks the row, reads the leaves in a new statement (all that came through
the fence are committed by then) and writes tiles and root together. Stopped before its commit,
nothing of it exists and the lock is gone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from proof.core.errors import ProofError
from proof.db import Connection, Database
from proof.db.session import kept_open
from proof.timestamps.trees import queries
from proof.timestamps.trees.merkle import (
    HASH_BYTES,
    TILE_WIDTH,
    PathStep,
    PlainStep,
    RoundTree,
    build,
    plain_tile_path,
    tile_path,
)
from proof.timestamps.types import Currency

# A larger tree is built beside the event loop: from about here on it would be held up noticeably.
_THREAD_FROM_LEAVES = 2_000


class Paths(NamedTuple):
    """The ways from one leaf to both roots of its tree, from below."""

    steps: list[PathStep]
    plain: list[PlainStep]


class LeafMissingError(ProofError):
    """A leaf the round should hold is not in its tiles."""


async def due_in(database: Database, age_s: float) -> float | None:
    """In how many seconds there is a round to close or to seal; None when there is none at all."""
    async with database.connection() as connection:
        return await queries.due_in(connection, age_s)


async def close_due(database: Database, age_s: float) -> None:
    """Close every round at least `age_s` old: nothing can be added to it from then on."""
    async with database.connection() as connection:
        await queries.close_due(connection, age_s)


async def seal_next(database: Database) -> bool:
    """Seal the oldest closed round; False when there is none left for us."""
    async with database.transaction() as tx:
        claimed = await queries.claim_closed(tx)
        if claimed is None:
            return False
        leaves = await queries.leaves(tx, claimed["id"])
        if len(leaves) == HASH_BYTES:
            await queries.discard(tx, claimed["id"], Currency.LOG)
        else:
            tree = await build_aside(tx, leaves)
            await queries.store_tree(tx, claimed["id"], tree)
    return True


async def paths(
    connection: Connection, kind: str, wanted: Sequence[tuple[Any, bytes]]
) -> dict[tuple[Any, bytes], Paths]:
    """The ways from each leaf to the roots of its `round` (by id), or from each round, named by its root,
    and from a checkpoint's leaf to those of a chain's `tree`. Raises LeafMissingError."""
    distinct = list(dict.fromkeys(wanted))
    found = {}
    for (owner, leaf), rows in zip(
        distinct, await queries.tiles_above(connection, kind, distinct), strict=True
    ):
        path = paths_over(rows, leaf)
        if path is None:
            raise LeafMissingError(f"{kind} {owner} has no leaf {leaf.hex()}")
        found[owner, leaf] = path
    return found


def paths_over(rows: Sequence[Any], leaf: bytes) -> Paths | None:
    """The ways from a leaf over its tiles, the lowest first; None when that does not hold it."""
    position = _position(rows[0]["hashes"], leaf) if rows else None
    if position is None:
        return None
    steps: list[PathStep] = []
    plain: list[PlainStep] = []
    for row in rows:
        hashes = row["hashes"]
        steps += tile_path(hashes, position, top=row is rows[-1])
        plain += plain_tile_path(row["plain"] or hashes, position, bottom=row is rows[0])
        position = row["position"] % TILE_WIDTH
    return Paths(steps, plain)


async def build_aside(
    tx: Connection, leaves: bytes, plain_leaves: bytes | None = None
) -> RoundTree:
    """`build`, off the event loop when it takes long; the transaction stays open meanwhile."""
    if len(leaves) < _THREAD_FROM_LEAVES * HASH_BYTES:
        return build(leaves, plain_leaves)
    return await kept_open(tx, asyncio.to_thread(build, leaves, plain_leaves))


def _position(tile: bytes, leaf: bytes) -> int | None:
    at = tile.find(leaf)
    while at % HASH_BYTES and at >= 0:
        at = tile.find(leaf, at + 1)
    return at // HASH_BYTES if at >= 0 else None
