"""What an operator wants to know of each chain."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from proof.db import Connection, Database
from proof.timestamps.anchors.anchoring import Schedule
from proof.timestamps.anchors.chain import Chain, ChainError, Standing, answered
from proof.timestamps.anchors.kinds import kind_of
from proof.timestamps.types import Currency, SubmitStatus

_STATE = """
SELECT
    open.id AS open_tree, open.opened_at,
    (SELECT count(*) FROM round_trees WHERE tree_id = open.id) AS open_rounds,
    (SELECT count(*) FROM trees t WHERE t.environment = $1 AND t.currency_id = $2
        AND t.closed_at IS NOT NULL AND NOT t.settled AND t.status < 3) AS waiting,
    last.id AS last_tree, last.closed_at, last.status, last.transaction,
    trouble.message, trouble.since
FROM (SELECT) AS one
LEFT JOIN trees open ON open.environment = $1 AND open.currency_id = $2 AND open.closed_at IS NULL
LEFT JOIN LATERAL (
    SELECT id, closed_at, status, transaction FROM trees
    WHERE environment = $1 AND currency_id = $2 AND closed_at IS NOT NULL
    ORDER BY closed_at DESC LIMIT 1
) last ON true
LEFT JOIN chain_troubles trouble ON trouble.environment = $1 AND trouble.currency_id = $2
"""


_SPENT = """
SELECT count(*) AS anchors, coalesce(sum(cost), 0) AS cost, coalesce(sum(hash_count), 0) AS hashes
FROM trees WHERE environment = $1 AND currency_id = $2 AND closed_at IS NOT NULL AND status = 3
"""


@dataclass(frozen=True, slots=True)
class EnabledChain:
    """A chain of an environment and how often it is written to."""

    environment: str
    chain: Chain
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class OpenTree:
    """The tree that rounds join now. `next_anchor_at` is None until it holds one."""

    id: UUID
    opened_at: datetime
    rounds: int
    next_anchor_at: datetime | None


@dataclass(frozen=True, slots=True)
class LastAnchor:
    """The newest closed tree."""

    tree_id: UUID
    closed_at: datetime
    status: SubmitStatus
    transaction: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What all verified anchors cost, in `unit`, and how many hashes are below them."""

    anchors: int
    cost: int
    hashes: int

    @property
    def per_hash(self) -> Decimal | None:
        """The cost of one hash; None before the first."""
        return Decimal(self.cost) / self.hashes if self.hashes else None


@dataclass(frozen=True, slots=True)
class ChainOverview:
    """One chain of one environment.

    `standing` is None when the node says nothing; `trouble` then says why, else what last kept a tree
    waiting, since `trouble_since`. `waiting` counts closed trees that are not verified.
    """

    environment: str
    currency: Currency
    other_side: str
    unit: str
    standing: Standing | None
    trouble: str | None
    trouble_since: datetime | None
    waiting: int
    open_tree: OpenTree | None
    last_anchor: LastAnchor | None
    spent: Spending


async def overview(database: Database, enabled: EnabledChain) -> ChainOverview:
    """What the database and the node say now. A node that says nothing is no failure."""
    standing, unreachable = None, None
    try:
        standing = await answered(enabled.chain.standing())
    except ChainError as error:
        unreachable = error.message
    key = enabled.environment, enabled.chain.currency
    async with database.connection() as connection:
        row = await connection.fetchrow(_STATE, *key)
        spent = await _spent(connection, *key)
    assert row is not None
    return ChainOverview(
        enabled.environment,
        enabled.chain.currency,
        kind_of(enabled.chain.currency).other_side,
        enabled.chain.unit,
        standing,
        unreachable or row["message"],
        row["since"],
        row["waiting"],
        _open_tree(row, enabled.schedule),
        _last_anchor(row),
        spent,
    )


async def _spent(connection: Connection, environment: str, currency: Currency) -> Spending:
    row = await connection.fetchrow(_SPENT, environment, currency)
    assert row is not None
    return Spending(row["anchors"], int(row["cost"]), int(row["hashes"]))


def _open_tree(row: Any, schedule: Schedule) -> OpenTree | None:
    if row["open_tree"] is None:
        return None
    due = row["opened_at"] + schedule.every if row["open_rounds"] else None
    return OpenTree(row["open_tree"], row["opened_at"], row["open_rounds"], due)


def _last_anchor(row: Any) -> LastAnchor | None:
    if row["last_tree"] is None:
        return None
    status = SubmitStatus(row["status"])
    return LastAnchor(row["last_tree"], row["closed_at"], status, row["transaction"])
