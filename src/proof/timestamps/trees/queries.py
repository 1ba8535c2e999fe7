"""The SQL of sealing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.trees.merkle import HASH_BYTES, RoundTree

# Whoever is adding to a round right now is not waited for: the next look finds it free, because its
# process leaves it at the same age.
_CLOSE = """
UPDATE rounds SET closed_at = now() WHERE id IN (
    SELECT id FROM rounds
    WHERE sealed_at IS NULL AND closed_at IS NULL AND opened_at <= now() - make_interval(secs => $1)
    ORDER BY id FOR UPDATE SKIP LOCKED
)
"""

# A round that is closed and not sealed yet is due.
_DUE_IN = """
SELECT extract(epoch FROM min(opened_at) - clock_timestamp())::float8 + $1
FROM rounds WHERE sealed_at IS NULL
"""

_CLAIM = """
SELECT id, environment, partner_environment_id FROM rounds
WHERE sealed_at IS NULL AND closed_at IS NOT NULL
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""

_LEAVES = """
SELECT string_agg(digest, ''::bytea ORDER BY digest) AS leaves FROM (
    SELECT digest FROM submissions WHERE round_id = $1
    UNION ALL SELECT blinding FROM rounds WHERE id = $1
) AS leaf
"""

_DISCARD = """
WITH gone AS (DELETE FROM round_trees WHERE round_id = $1 RETURNING tree_id),
     trees AS (DELETE FROM trees WHERE id IN (SELECT tree_id FROM gone) AND currency_id = $2)
SELECT
"""


_TILES = """
SELECT n, t.level, t.position, t.hashes, t.plain
FROM unnest($1::{type}[], $2::bytea[]) WITH ORDINALITY AS wanted (owner, leaf, n)
CROSS JOIN LATERAL (
    SELECT position FROM {kind}_tiles
    WHERE {kind}_id = owner AND level = 0 AND first_hash <= leaf
    ORDER BY first_hash DESC LIMIT 1
) AS lowest
CROSS JOIN generate_series(0, 4) AS height
JOIN {kind}_tiles t
    ON t.{kind}_id = owner AND t.level = height AND t.position = lowest.position >> (8 * height)
ORDER BY n, t.level
"""
_TILES_ABOVE = {
    "round": _TILES.format(kind="round", type="bigint"),
    "tree": _TILES.format(kind="tree", type="uuid"),
}


async def due_in(connection: Connection, age_s: float) -> float | None:
    """In how many seconds the oldest round that is not sealed has that age; None when there is none."""
    wait_s: float | None = await connection.fetchval(_DUE_IN, age_s)
    return wait_s


async def close_due(connection: Connection, age_s: float) -> None:
    await connection.execute(_CLOSE, age_s)


async def claim_closed(tx: Connection) -> Any:
    """Lock the oldest closed round nobody else is sealing; None when there is none."""
    return await tx.fetchrow(_CLAIM)


async def leaves(connection: Connection, round_id: int) -> bytes:
    """All leaves of a round, the blinding one included, ascending, concatenated."""
    found: bytes = await connection.fetchval(_LEAVES, round_id)
    return found


async def store_tree(tx: Connection, round_id: int, tree: RoundTree) -> None:
    await store_tiles(tx, "round", round_id, tree)
    await tx.execute(
        "UPDATE rounds SET sealed_at = now(), root = $2, plain_root = $3, leaf_count = $4 WHERE id = $1",
        round_id,
        *tree.roots,
        tree.leaf_count,
    )


async def store_tiles(tx: Connection, kind: str, owner_id: int | UUID, tree: RoundTree) -> None:
    """The tiles of a `round` or of a chain's `tree`."""
    await tx.copy_records_to_table(
        f"{kind}_tiles",
        records=[
            (owner_id, tile.level, tile.position, tile.hashes[:HASH_BYTES], tile.hashes, tile.plain)
            for tile in tree.tiles()
        ],
        columns=[f"{kind}_id", "level", "position", "first_hash", "hashes", "plain"],
    )


async def discard(tx: Connection, round_id: int, own_currency_id: int) -> None:
    """Remove a round nothing was put into, and the tree that was its alone."""
    await tx.execute(_DISCARD, round_id, own_currency_id)
    await tx.execute("DELETE FROM rounds WHERE id = $1", round_id)


async def tiles_above(
    connection: Connection, kind: str, wanted: Sequence[tuple[Any, bytes]]
) -> list[list[Any]]:
    """Of each (`round` or `tree`, leaf) the tile that would hold the leaf and those above it, from below:
    three at a million. One statement for all of them."""
    owners, leaves = [owner for owner, _ in wanted], [leaf for _, leaf in wanted]
    rows = await connection.fetch(_TILES_ABOVE[kind], owners, leaves)
    found: list[list[Any]] = [[] for _ in wanted]
    for row in rows:
        found[row["n"] - 1].append(row)
    return found
