"""The SQL of anchoring: trees under way, their candidates, what is wrong with a chain."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.timestamps.anchors.chain import Candidate, Evidence, Sighting
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree

_UNDER_WAY = """
SELECT id, status, root, plain_root, block FROM trees
WHERE environment = $1 AND currency_id = $2 AND closed_at IS NOT NULL AND NOT settled
  AND root IS NOT NULL
ORDER BY closed_at
"""


# What a reorganisation takes away goes with the status it made.
_MOVE = """
UPDATE trees SET status = $3::smallint, transaction = $4, settled = $5, block = $6,
    timestamp_ms = CASE WHEN $3 = 3 THEN timestamp_ms END,
    evidence = CASE WHEN $3 = 3 THEN evidence END,
    cost = CASE WHEN $3 = 3 THEN cost END,
    verified_at = CASE WHEN $3 = 3 THEN verified_at END
WHERE id = $1 AND status = $2
"""


_VERIFY = """
UPDATE trees SET status = 3, transaction = $3, settled = $4, block = $5,
    timestamp_ms = $6, evidence = $7, cost = $8, verified_at = $9
WHERE id = $1 AND status = $2 AND block IS NOT DISTINCT FROM $10
"""


# The turn passes from the tree that was seen to have it, and the candidate is stored, or neither.
_STORE_FIRST = """
WITH turn AS (
    INSERT INTO wallet_turns AS held (wallet, tree_id) VALUES ($7, $1)
    ON CONFLICT (wallet) DO UPDATE SET tree_id = $1 WHERE held.tree_id = $8
    RETURNING tree_id
)
INSERT INTO anchor_transactions (tree_id, number, transaction, raw, fee, created_at)
SELECT tree_id, $2, $3, $4, $5, $6 FROM turn ON CONFLICT DO NOTHING
"""


_TURN = """
SELECT id, environment, status FROM wallet_turns JOIN trees ON id = tree_id WHERE wallet = $1
"""


_OWNERS = """
SELECT DISTINCT partner_environment_id FROM round_trees JOIN rounds ON rounds.id = round_id
WHERE tree_id = $1 ORDER BY 1
"""


_TROUBLE = """
INSERT INTO chain_troubles AS known (environment, currency_id, message, since) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment, currency_id) DO UPDATE SET message = $3, since = $4
WHERE known.message <> $3
"""


@dataclass(frozen=True, slots=True)
class TreeInProgress:
    """A sealed tree that is not settled yet. `block`: the one it was last seen in."""

    id: UUID
    status: SubmitStatus
    roots: Roots
    block: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """The tree that a wallet paid for last."""

    tree_id: UUID
    environment: str
    status: SubmitStatus


@dataclass(frozen=True, slots=True)
class StoredCandidate:
    """A candidate as it is kept, with its times."""

    candidate: Candidate
    created_at: datetime
    broadcast_at: datetime | None


async def under_way(
    connection: Connection, environment: str, currency: Currency
) -> list[TreeInProgress]:
    """Oldest first."""
    rows = await connection.fetch(_UNDER_WAY, environment, currency)
    return [
        TreeInProgress(
            row["id"],
            SubmitStatus(row["status"]),
            Roots(row["root"], row["plain_root"]),
            row["block"],
        )
        for row in rows
    ]


async def candidates(connection: Connection, tree_id: UUID) -> list[StoredCandidate]:
    """Oldest first."""
    rows = await connection.fetch(
        "SELECT transaction, raw, fee, created_at, broadcast_at FROM anchor_transactions"
        " WHERE tree_id = $1 ORDER BY number",
        tree_id,
    )
    return [
        StoredCandidate(
            Candidate(row["transaction"], row["raw"], int(row["fee"])),
            row["created_at"],
            row["broadcast_at"],
        )
        for row in rows
    ]


async def store_candidate(
    connection: Connection, tree_id: UUID, number: int, candidate: Candidate, at: datetime
) -> bool:
    """Keep a candidate as the tree's `number`-th; False when another worker was quicker."""
    status = await connection.execute(
        "INSERT INTO anchor_transactions (tree_id, number, transaction, raw, fee, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        tree_id,
        number,
        candidate.transaction,
        candidate.raw,
        candidate.fee,
        at,
    )
    return status == "INSERT 0 1"


async def turn(connection: Connection, wallet: str) -> Turn | None:
    """Which tree a wallet paid for last; None if it has not paid yet."""
    row = await connection.fetchrow(_TURN, wallet)
    if row is None:
        return None
    return Turn(row["id"], row["environment"], SubmitStatus(row["status"]))


async def store_first(
    connection: Connection,
    tree_id: UUID,
    candidate: Candidate,
    at: datetime,
    wallet: str,
    before: UUID | None,
) -> bool:
    """Keep a tree's first candidate and take the wallet's turn from the tree that was seen to have it
    before the candidate was built; False when another was quicker."""
    status = await connection.execute(
        _STORE_FIRST,
        tree_id,
        1,
        candidate.transaction,
        candidate.raw,
        candidate.fee,
        at,
        wallet,
        before,
    )
    return status == "INSERT 0 1"


async def note_broadcast(
    connection: Connection, tree_id: UUID, transaction: str, at: datetime
) -> None:
    await connection.execute(
        "UPDATE anchor_transactions SET broadcast_at = coalesce(broadcast_at, $3)"
        " WHERE tree_id = $1 AND transaction = $2",
        tree_id,
        transaction,
        at,
    )


async def move(connection: Connection, tree: TreeInProgress, sighting: Sighting) -> None:
    """Bring a tree to where its candidates were seen, unless somebody else moved it meanwhile."""
    await connection.execute(
        _MOVE,
        tree.id,
        tree.status,
        sighting.status,
        sighting.candidate.transaction if sighting.candidate else None,
        sighting.settled,
        sighting.block,
    )


async def verify(
    tx: Connection,
    tree: TreeInProgress,
    verified: Tree,
    evidence: Evidence,
    sighting: Sighting,
    at: datetime,
) -> bool:
    """Make a tree verified by its evidence; False when somebody else moved it meanwhile."""
    status = await tx.execute(
        _VERIFY,
        tree.id,
        tree.status,
        verified.transaction,
        sighting.settled,
        sighting.block,
        verified.timestamp_ms,
        json.dumps(evidence.members),
        evidence.cost,
        at,
        tree.block,
    )
    return status == "UPDATE 1"


async def owners(connection: Connection, tree_id: UUID) -> Sequence[int]:
    """The partner environments with hashes in a tree."""
    return [row["partner_environment_id"] for row in await connection.fetch(_OWNERS, tree_id)]


async def tell_trouble(
    connection: Connection, environment: str, currency: Currency, message: str, at: datetime
) -> bool:
    """Keep what is wrong with a chain; whether it is news."""
    status = await connection.execute(_TROUBLE, environment, currency, message, at)
    return status == "INSERT 0 1"


async def end_trouble(connection: Connection, environment: str, currency: Currency) -> Any:
    """Forget what was wrong; the message, or None when nothing was."""
    return await connection.fetchval(
        "DELETE FROM chain_troubles WHERE environment = $1 AND currency_id = $2 RETURNING message",
        environment,
        currency,
    )
