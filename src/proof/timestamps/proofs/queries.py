"""The SQL of looking things up for a proof."""

from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.types import Currency, SubmitStatus, Tree

_TREE = "t.id, t.currency_id, t.status, t.root, t.transaction, t.timestamp_ms"

_OF_HASH = f"""
SELECT s.created_at, s.round_id, t.block, {_TREE}
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
    """`created_at`, `round_id` and `block` beside each tree of a hash; nothing for an unknown hash."""
    return await connection.fetch(_OF_HASH, partner_environment_id, digest)


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


async def anchored(connection: Connection, tree_id: UUID, round_id: int) -> Any:
    """`evidence` of a verified tree, as JSON, and `round_root` of one of its rounds."""
    return await connection.fetchrow(
        "SELECT t.evidence, r.root AS round_root FROM trees t, rounds r"
        " WHERE t.id = $1 AND r.id = $2",
        tree_id,
        round_id,
    )


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
