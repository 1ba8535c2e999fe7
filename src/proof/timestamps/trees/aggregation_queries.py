"""The SQL of chain trees."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from proof.db import Connection

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
       coalesce(sum(leaf.hashes), 0)::bigint AS hashes
FROM (
    SELECT root, leaf_count - 1 AS hashes
    FROM round_trees JOIN rounds ON rounds.id = round_id WHERE tree_id = $1
    UNION ALL SELECT $2::bytea, 0
) AS leaf
"""

_SEAL = """
UPDATE trees SET root = $2, leaf_count = $3, hash_count = $4, checkpoint_size = $5 WHERE id = $1
"""

_TILES_ABOVE = """
WITH leaf AS (
    SELECT position FROM tree_tiles
    WHERE tree_id = $1 AND level = 0 AND first_hash <= $2
    ORDER BY first_hash DESC LIMIT 1
)
SELECT level, t.position, hashes FROM tree_tiles t, leaf
WHERE tree_id = $1 AND t.position = leaf.position >> (8 * level)
ORDER BY level
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
    `hashes`: how many submitted hashes are below them."""
    return await connection.fetchrow(_LEAVES, tree_id, checkpoint_hash)


async def store(
    tx: Connection,
    tree_id: UUID,
    root: bytes,
    tiles: list[tuple[int, int, bytes]],
    counts: tuple[int, int, int],
) -> None:
    """`counts`: leaves, submitted hashes, and the size of the log at the checkpoint."""
    await tx.copy_records_to_table(
        "tree_tiles",
        records=[(tree_id, level, at, hashes[:32], hashes) for level, at, hashes in tiles],
        columns=["tree_id", "level", "position", "first_hash", "hashes"],
    )
    await tx.execute(_SEAL, tree_id, root, *counts)


async def discard(tx: Connection, tree_id: UUID) -> None:
    """Remove a tree whose rounds all turned out to be empty."""
    await tx.execute("DELETE FROM trees WHERE id = $1", tree_id)


async def tiles_above(connection: Connection, tree_id: UUID, leaf: bytes) -> list[Any]:
    """The tile that would hold this leaf and those above it, from below."""
    return await connection.fetch(_TILES_ABOVE, tree_id, leaf)
