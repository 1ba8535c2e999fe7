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
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from proof.db import Connection, Database
from proof.timestamps.trees.merkle import HASH_BYTES, RoundTree
from proof.timestamps.trees.queries import store_tiles
from proof.timestamps.trees.sealing import build_aside
from proof.timestamps.types import Currency

# While the tree before is in no block, rounds go on into the open one: a chain that is stuck or dear is
# then paid once for all of them, and no transaction spends the change of one that waits.
_DUE = """
SELECT id FROM trees t
WHERE environment = $1 AND currency_id = $2 AND closed_at IS NULL AND opened_at <= $3
  AND EXISTS (SELECT FROM round_trees WHERE tree_id = t.id)
  AND NOT EXISTS (
      SELECT FROM trees before
      WHERE before.environment = $1 AND before.currency_id = $2
        AND before.closed_at IS NOT NULL AND NOT before.settled AND before.status < 2
  )
FOR UPDATE
"""
_CLAIM = """
SELECT id FROM trees t
WHERE environment = $1 AND currency_id = $2 AND closed_at IS NOT NULL AND NOT settled AND root IS NULL
  AND NOT EXISTS (
      SELECT FROM rounds r JOIN round_trees rt ON rt.round_id = r.id
      WHERE r.sealed_at IS NULL AND rt.tree_id = t.id
  )
ORDER BY closed_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_LEAVES = """
SELECT string_agg(leaf.root, ''::bytea ORDER BY leaf.root) AS leaves,
       string_agg(leaf.plain_root, ''::bytea ORDER BY leaf.root) AS plain_leaves,
       coalesce(sum(leaf.hashes), 0)::bigint AS hashes
FROM (
    SELECT root, plain_root, leaf_count - 1 AS hashes
    FROM round_trees JOIN rounds ON rounds.id = round_id WHERE tree_id = $1
    UNION ALL SELECT $2::bytea, $2::bytea, 0
) AS leaf
"""
_SEAL = """
UPDATE trees SET root = $2, plain_root = $3, leaf_count = $4, hash_count = $5,
    checkpoint_log_id = $6, checkpoint_size = $7
WHERE id = $1
"""


async def lock_due(
    tx: Connection, environment: str, currency_id: int, opened_until: datetime
) -> UUID | None:
    """Lock the open tree if it holds a round, was opened by then, and no earlier one is still without a
    block."""
    found: UUID | None = await tx.fetchval(_DUE, environment, currency_id, opened_until)
    return found


async def close(
    tx: Connection, tree_id: UUID, environment: str, currency_id: int, at: datetime
) -> None:
    """Close a locked tree and open its successor."""
    await tx.execute("UPDATE trees SET closed_at = $2 WHERE id = $1", tree_id, at)
    await tx.execute(
        "INSERT INTO trees (id, environment, currency_id, opened_at) VALUES ($1, $2, $3, $4)",
        uuid4(),
        environment,
        currency_id,
        at,
    )


async def claim_closed(tx: Connection, environment: str, currency_id: int) -> UUID | None:
    """Lock the oldest closed tree without a root whose rounds are all sealed."""
    found: UUID | None = await tx.fetchval(_CLAIM, environment, currency_id)
    return found


async def leaves(connection: Connection, tree_id: UUID, checkpoint_hash: bytes) -> Any:
    """`leaves`: the roots of a tree's rounds and the checkpoint's hash, ascending, concatenated;
    `plain_leaves`: the rounds' plain roots in their places, and the checkpoint's hash in its own;
    `hashes`: how many submitted hashes are below them."""
    return await connection.fetchrow(_LEAVES, tree_id, checkpoint_hash)


async def store(
    tx: Connection, tree_id: UUID, tree: RoundTree, hashes: int, pinned: "Checkpoint"
) -> None:
    """`hashes`: how many submitted ones are below; `pinned`: whose hash is a leaf."""
    await store_tiles(tx, "tree", tree_id, tree)
    await tx.execute(
        _SEAL, tree_id, *tree.roots, tree.leaf_count, hashes, pinned.log_id, pinned.size
    )


async def discard(tx: Connection, tree_id: UUID) -> None:
    """Remove a tree whose rounds all turned out to be empty."""
    await tx.execute("DELETE FROM trees WHERE id = $1", tree_id)


class Checkpoint(NamedTuple):
    """A log's signed checkpoint: how many entries it covers, and the signed note's bytes."""

    log_id: int
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
        tree_id = await lock_due(tx, environment, currency, now - every)
        if tree_id is None:
            return False
        await close(tx, tree_id, environment, currency, now)
    return True


async def seal_next(
    tx: Connection, environment: str, currency: Currency, newest: Checkpoint
) -> bool:
    """Give the oldest closed tree of a chain its root; False when none is ready."""
    tree_id = await claim_closed(tx, environment, currency)
    if tree_id is None:
        return False
    found = await leaves(tx, tree_id, newest.leaf)
    if len(found["leaves"]) == HASH_BYTES:
        await discard(tx, tree_id)
        return True
    tree = await build_aside(tx, found["leaves"], found["plain_leaves"])
    await store(tx, tree_id, tree, found["hashes"], newest)
    return True
