"""The SQL of looking things up for a proof."""

from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.types import Currency, SubmitStatus, Tree

_TREE = "t.id, t.currency_id, t.status, t.root, t.transaction, t.timestamp_ms"

_OF_HASH = f"""
SELECT s.created_at, s.round_id, {_TREE}
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
    connection: Connection, partner_environment_id: int, digest: bytes
) -> list[Any]:
    """`created_at` and `round_id` beside each tree of a hash; nothing for an unknown hash."""
    return await connection.fetch(_OF_HASH, partner_environment_id, digest)


async def tree(connection: Connection, partner_environment_id: int, tree_id: UUID) -> Tree | None:
    row = await connection.fetchrow(_BY_ID, partner_environment_id, tree_id)
    return None if row is None else tree_from(row)


def tree_from(row: Any) -> Tree:
    """A tree from a row that holds its columns."""
    return Tree(
        tree_id=row["id"],
        currency=Currency(row["currency_id"]),
        status=SubmitStatus(row["status"]),
        timestamp_ms=row["timestamp_ms"],
        root=row["root"],
        transaction=row["transaction"],
    )
