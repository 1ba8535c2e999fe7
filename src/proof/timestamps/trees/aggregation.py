"""Aggregation: the rounds of one chain's turn become one tree.

Two transactions, in crash order. Closing locks the open tree, which whoever opens a round has locked
for sharing, marks it and opens its successor: from its commit on the tree's rounds are fixed. Sealing
waits until all of them have roots, then writes tiles and root together. Stopped before either commit,
nothing of it happened and the next look does it.

The newest checkpoint's hash is a leaf among the roots, so that a block which holds the tree's root also
holds the whole log up to there.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from proof.db import Connection, Database
from proof.timestamps.trees import aggregation_queries as queries
from proof.timestamps.trees.merkle import HASH_BYTES, Step
from proof.timestamps.trees.sealing import LeafMissingError, build_aside, steps_over
from proof.timestamps.types import Currency


class Checkpoint(NamedTuple):
    """A log's signed checkpoint: how many entries it covers, and the signed note's bytes."""

    size: int
    note: bytes

    @property
    def leaf(self) -> bytes:
        """What stands for it in a tree: the SHA-256 of the note."""
        return sha256(self.note).digest()


async def close_due(
    database: Database, environment: str, currency: Currency, now: datetime, every: timedelta
) -> bool:
    """Close the open tree of a chain if it was opened `every` ago or longer and holds a round.

    It stays open while an earlier tree of the chain is in no block.
    """
    async with database.transaction() as tx:
        tree_id = await queries.lock_due(tx, environment, currency, now - every)
        if tree_id is None:
            return False
        await queries.close(tx, tree_id, environment, currency, now)
    return True


async def seal_next(
    tx: Connection, environment: str, currency: Currency, newest: Checkpoint
) -> bool:
    """Give the oldest closed tree of a chain its root; False when none is ready."""
    tree_id = await queries.claim_closed(tx, environment, currency)
    if tree_id is None:
        return False
    found = await queries.leaves(tx, tree_id, newest.leaf)
    if len(found["leaves"]) == HASH_BYTES:
        await queries.discard(tx, tree_id)
        return True
    tree = await build_aside(tx, found["leaves"])
    counts = tree.leaf_count, found["hashes"], newest.size
    await queries.store(tx, tree_id, tree.root, tree.tiles(), counts)
    return True


async def path(connection: Connection, tree_id: UUID, leaf: bytes) -> list[Step]:
    """The steps from a round's root, or the checkpoint's leaf, to the tree's root, from below.

    Raises LeafMissingError.
    """
    steps = steps_over(await queries.tiles_above(connection, tree_id, leaf), leaf)
    if steps is None:
        raise LeafMissingError(f"tree {tree_id} has no leaf {leaf.hex()}")
    return steps
