"""The SQL of looking things up for a proof."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.types import Currency, SubmitStatus, Tree

_TREE = "t.id, t.currency_id, t.status, t.root, t.plain_root, t.transaction, t.timestamp_ms"

_OF_HASHES = f"""
SELECT s.digest, s.created_at, s.round_id, r.root AS round_root, t.block, t.opened_at, {_TREE},
       CASE WHEN t.currency_id = ANY($3::integer[]) THEN t.evidence END AS evidence
FROM submissions s JOIN rounds r ON r.id = s.round_id JOIN round_trees USING (round_id)
JOIN trees t ON t.id = tree_id
WHERE s.partner_environment_id = $1 AND s.digest = ANY($2::bytea[])
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


async def trees_of_hashes(
    connection: Connection,
    partner_environment_id: int,
    digests: Sequence[bytes],
    evidence_of: Collection[Currency] = (),
) -> list[Any]:
    """`digest`, `created_at`, `round_id`, `round_root`, `block` and `opened_at` beside each tree of each
    hash, by currencyId; nothing for an unknown hash.

    `evidence`: JSON, of the trees of those chains that are verified. Read with the rest, because the next
    statement may already see what a reorganisation has left of it.
    """
    return await connection.fetch(
        _OF_HASHES, partner_environment_id, list(digests), list(evidence_of)
    )


async def verified_trees(connection: Connection, tree_ids: Sequence[UUID]) -> dict[UUID, Currency]:
    """Those of these trees that are verified, and their chains."""
    rows = await connection.fetch(
        "SELECT id, currency_id FROM trees WHERE id = ANY($1::uuid[]) AND status = 3",
        list(tree_ids),
    )
    return {row["id"]: Currency(row["currency_id"]) for row in rows}


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
