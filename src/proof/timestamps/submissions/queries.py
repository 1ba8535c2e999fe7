"""The SQL of submissions and of opening rounds."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from proof.db import Connection

OPENED = "proof_round_opened"
"""What PostgreSQL notifies when a round is opened while there was none to be sealed."""

# One statement, so one round trip and one commit. The fence comes first: FOR SHARE waits for whoever
# closes the round and then finds the row gone, so nothing is ever added to a closed one. The digests
# arrive as one bytea a round, cut up here; the insertion order is the primary key's, or two processes
# with overlapping sets would deadlock. Usage rows are sharded by backend, so that lanes never wait for
# each other over a counter.
_COMMIT = """
WITH fence AS MATERIALIZED (
    SELECT id, partner_environment_id FROM rounds
    WHERE id = ANY($1::bigint[]) AND closed_at IS NULL ORDER BY id FOR SHARE
), rows AS (
    SELECT f.partner_environment_id, substr(blob.digests, 1 + 32 * n, 32) AS digest, f.id AS round_id
    FROM unnest($1::bigint[], $2::bytea[]) AS blob (round_id, digests)
    JOIN fence f ON f.id = blob.round_id
    CROSS JOIN LATERAL generate_series(0, length(blob.digests) / 32 - 1) AS n
    ORDER BY 1, 2
), added AS (
    INSERT INTO submissions (partner_environment_id, digest, round_id, created_at)
    SELECT partner_environment_id, digest, round_id, now() FROM rows
    ON CONFLICT DO NOTHING
    RETURNING round_id, digest
), counted AS (
    SELECT round_id, count(*) AS new, string_agg(digest, ''::bytea) AS digests FROM added GROUP BY 1
), used AS (
    INSERT INTO timestamp_usage (partner_environment_id, month, kind, shard, used)
    SELECT f.partner_environment_id, date_trunc('month', now() AT TIME ZONE 'UTC'), 'timestamps',
           pg_backend_pid() % 64, sum(c.new)
    FROM counted c JOIN fence f ON f.id = c.round_id
    GROUP BY 1
    ORDER BY 1
    ON CONFLICT (partner_environment_id, month, kind, shard)
    DO UPDATE SET used = timestamp_usage.used + excluded.used
)
SELECT f.id, now() AS created_at, coalesce(c.new, 0) AS new, c.digests
FROM fence f LEFT JOIN counted c ON c.round_id = f.id
"""

# The fence of the trees: FOR SHARE waits for whoever closes one. Its successor is then not in this
# statement's view, so a tree is missing, nothing at all is written, and the caller repeats.
# Whoever seals is told of the first round alone: it looks again by itself while there are others, and for
# the age of a round after the last one, so a round that was opened beside one being sealed is seen in time.
_OPEN_ROUND = """
WITH open AS MATERIALIZED (
    SELECT id, currency_id FROM trees
    WHERE environment = $2 AND currency_id = ANY($6::smallint[])
      AND closed_at IS NULL AND currency_id <> $5
    ORDER BY currency_id FOR SHARE
), round AS (
    INSERT INTO rounds (partner_environment_id, environment, blinding)
    SELECT $1, $2, $3 WHERE (SELECT count(*) FROM open) = cardinality($6::smallint[])
    RETURNING id, CASE WHEN NOT EXISTS (SELECT FROM rounds WHERE sealed_at IS NULL)
                       THEN pg_notify($7, '') END
), own AS (
    INSERT INTO trees (id, environment, currency_id) SELECT $4, $2, $5 FROM round
    RETURNING id, currency_id
), linked AS (
    INSERT INTO round_trees (round_id, tree_id)
    SELECT round.id, tree.id FROM round, (TABLE own UNION ALL TABLE open) AS tree
)
SELECT round.id AS round_id, tree.id AS tree_id, tree.currency_id
FROM round, (TABLE own UNION ALL TABLE open) AS tree
ORDER BY tree.currency_id
"""

_OPEN_TREES = """
INSERT INTO trees (id, environment, currency_id)
SELECT gen_random_uuid(), $1, currency_id FROM unnest($2::smallint[]) AS currency_id ORDER BY 2, 3
ON CONFLICT (environment, currency_id) WHERE closed_at IS NULL AND currency_id <> 900 DO NOTHING
"""

_EARLIEST = """
SELECT s.created_at, t.id AS tree_id, t.currency_id
FROM (SELECT created_at, round_id FROM submissions
      WHERE partner_environment_id = $1 AND digest = ANY($2)
      ORDER BY created_at, round_id LIMIT 1) s
JOIN round_trees USING (round_id) JOIN trees t ON t.id = tree_id
ORDER BY t.currency_id
"""


async def commit(
    connection: Connection, round_ids: Sequence[int], blobs: Sequence[bytes]
) -> list[Any]:
    """Insert each round's digests (32 bytes each, concatenated). A round missing in the answer was
    closed: nothing of it was written. `digests` holds the new ones of a round, concatenated."""
    return await connection.fetch(_COMMIT, round_ids, blobs)


async def open_round(
    connection: Connection,
    partner_environment_id: int,
    environment: str,
    blinding: bytes,
    log_tree_id: UUID,
    log_currency_id: int,
    currency_ids: Sequence[int] = (),
) -> list[Any]:
    """Open a round in its own log tree and in the open tree of each of these chains; answers
    `round_id`, `tree_id` and `currency_id`, one row for each tree, by currency.

    Empty, with nothing written, when one of the chains had no open tree to see.
    """
    return await connection.fetch(
        _OPEN_ROUND,
        partner_environment_id,
        environment,
        blinding,
        log_tree_id,
        log_currency_id,
        currency_ids,
        OPENED,
    )


async def open_trees(connection: Connection, environment: str, currency_ids: Sequence[int]) -> None:
    """Open a tree for each of these chains that has none open."""
    await connection.execute(_OPEN_TREES, environment, currency_ids)


async def earliest(
    connection: Connection, partner_environment_id: int, digests: Sequence[bytes]
) -> list[Any]:
    """When the earliest of these digests came, one row for each of its trees."""
    return await connection.fetch(_EARLIEST, partner_environment_id, digests)


async def count_known(
    connection: Connection, partner_environment_id: int, digests: Sequence[bytes]
) -> int:
    """How many of these distinct digests this owner has submitted already."""
    known: int = await connection.fetchval(
        "SELECT count(*) FROM submissions"
        " WHERE partner_environment_id = $1 AND digest = ANY($2::bytea[])",
        partner_environment_id,
        digests,
    )
    return known


async def digests(
    connection: Connection, partner_environment_id: int, after: bytes, limit: int
) -> list[bytes]:
    """What an owner has submitted, ascending, beyond a digest."""
    rows = await connection.fetch(
        "SELECT digest FROM submissions WHERE partner_environment_id = $1 AND digest > $2"
        " ORDER BY digest LIMIT $3",
        partner_environment_id,
        after,
        limit,
    )
    return [row["digest"] for row in rows]
