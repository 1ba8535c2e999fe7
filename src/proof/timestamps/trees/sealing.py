"""Sealing: a round is closed, then its tree is built and stored.

Two transactions, in crash order. Closing takes the row for update and commits at once, so that
nobody waits at the fence while a large tree is built. Stopped after it, the round is closed and the
next look seals it. Sealing locks the row, reads the leaves in a new statement (all that came through
the fence are committed by then) and writes tiles and root together. Stopped before its commit,
nothing of it exists and the lock is gone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from proof.core.errors import ProofError
from proof.db import Connection, Database
from proof.db.session import kept_open
from proof.timestamps.trees import queries
from proof.timestamps.trees.merkle import HASH_BYTES, PathStep, RoundTree, build, tile_path
from proof.timestamps.types import Currency

# A larger tree is built beside the event loop: from about here on it would be held up noticeably.
_THREAD_FROM_LEAVES = 2_000


class LeafMissingError(ProofError):
    """A leaf the round should hold is not in its tiles."""


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
            await queries.store_tree(tx, claimed["id"], tree.root, tree.leaf_count, tree.tiles())
    return True


async def path(connection: Connection, round_id: int, leaf: bytes) -> list[PathStep]:
    """The steps from a leaf to its round's root, from below. Raises LeafMissingError."""
    steps = steps_over(await queries.tiles_above(connection, round_id, leaf), leaf)
    if steps is None:
        raise LeafMissingError(f"round {round_id} has no leaf {leaf.hex()}")
    return steps


def steps_over(rows: Sequence[Any], leaf: bytes) -> list[PathStep] | None:
    """The steps from a leaf over its tiles, from below; None when the lowest does not hold it."""
    position = _position(rows[0]["hashes"], leaf) if rows else None
    if position is None:
        return None
    steps: list[PathStep] = []
    for row in rows:
        steps += tile_path(row["hashes"], position, top=row is rows[-1])
        position = row["position"] % 256
    return steps


async def build_aside(tx: Connection, leaves: bytes) -> RoundTree:
    """`build`, off the event loop when it takes long; the transaction stays open meanwhile."""
    if len(leaves) < _THREAD_FROM_LEAVES * HASH_BYTES:
        return build(leaves)
    return await kept_open(tx, asyncio.to_thread(build, leaves))


def _position(tile: bytes, leaf: bytes) -> int | None:
    at = tile.find(leaf)
    while at % HASH_BYTES and at >= 0:
        at = tile.find(leaf, at + 1)
    return at // HASH_BYTES if at >= 0 else None
