"""The SQL of looking things up for a proof."""

from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.types import Currency, SubmitStatus, Tree

_TREE = "t.id, t.currency_id, t.status, t.root, t.plain_root, t.transaction, t.timestamp_ms"

_OF_HASH = f"""
SELECT s.created_at, s.round_id, t.block, t.opened_at, {_TREE},
       CASE WHEN t.currency_id = $3 THEN t.evidence END AS evidence
FROM submissions s JOIN round_trees USING (round_id) JOIN trees t ON t.id = tree_id
WHERE s.partner_environment_id = $1 AND s.digest = $2
ORDER BY t.currency_id
"""

_BY_ID = f"""
SELECT {_TREE} FROM trees t
WHERE t.id = $2 AND EXISTS (
    SELECT FROM round_trees JOIN rounds ON rounds.id = round_id
    WHERE tree_id = $2 AND partner_environment_id = $1
      AND EXISTS (SELECT FROM submissions s WHERE s.round_id = rounds.id)
)
"""


async def trees_of_hash(
    connection: Connection,
    partner_environment_id: int,
    digest: bytes,
    evidence_of: Currency | None = None,
) -> list[Any]:
    """`created_at`, `round_id`, `block` and `opened_at` beside each tree of a hash; nothing for an unknown
    hash.

    `evidence`: JSON, of the tree of that chain if it is verified. Read with the rest, because the next
    statement may already see what a reorganisation has left of it.
    """
    return await connection.fetch(_OF_HASH, partner_environment_id, digest, evidence_of)


async def tree(connection: Connection, partner_environment_id: int, tree_id: UUID) -> Tree | None:
    row = await connection.fetchrow(_BY_ID, partner_environment_id, tree_id)
    return None if row is None else tree_from(row)


async def has_trees(connection: Connection, environment: str, currency_id: int) -> bool:
    """Whether a chain was ever enabled in an environment."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM trees WHERE environment = $1 AND currency_id = $2"
        " AND closed_at IS NOT NULL)",
        environment,
        currency_id,
    )
    return found


async def round_root(connection: Connection, round_id: int) -> bytes:
    """The root of a sealed round."""
    root: bytes = await connection.fetchval("SELECT root FROM rounds WHERE id = $1", round_id)
    return root


def tree_from(row: Any) -> Tree:
    """A tree from a row that holds its columns."""
    return Tree(
        tree_id=row["id"],
        currency=Currency(row["currency_id"]),
        status=SubmitStatus(row["status"]),
        timestamp_ms=row["timestamp_ms"],
        root=row["root"],
        transaction=row["transaction"],
        plain_root=row["plain_root"],
    )
