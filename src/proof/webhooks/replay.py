"""Sending again what was sent before, under the same `webhook-id`.

A replayed delivery is pending again and goes the whole schedule anew; it is the same record, and its
event is the same bytes. One whose payload was pruned, or whose endpoint was removed, cannot be replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Connection, Database
from proof.events import notify
from proof.webhooks import queries
from proof.webhooks.types import DeliveryState, Waiting

_BATCH = 500

_ENDED = (DeliveryState.DELIVERED, DeliveryState.FAILED)

# The event is locked while its payload is there, so that it is not pruned before the delivery is due.
_SELECT = """
SELECT delivery.id, delivery.endpoint_id, delivery.ordered_subject
FROM webhook_deliveries delivery
JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
JOIN outbox event ON event.cursor = delivery.event_cursor
WHERE endpoint.removed_at IS NULL AND endpoint.partner_environment_id = $1
  AND ($2::uuid IS NULL OR endpoint.id = $2)
  AND delivery.state = ANY($3::text[]) AND delivery.event_cursor > $4
  AND ($5::timestamptz IS NULL OR event.created_at >= $5)
  AND ($6::timestamptz IS NULL OR event.created_at < $6)
  AND ($7::timestamptz IS NULL OR delivery.last_attempt_at >= $7)
  AND event.body IS NOT NULL AND event.cursor = ANY($8::bigint[])
ORDER BY delivery.id
FOR SHARE OF event
"""

_NEXT_EVENTS = """
SELECT DISTINCT event_cursor FROM webhook_deliveries
WHERE endpoint_id = ANY($1::uuid[]) AND event_cursor > $2 AND event_cursor <= $3
ORDER BY event_cursor LIMIT $4
"""

# An open breaker is the first reason: while it is open, no other condition lets a delivery be sent.
_STANDING = """
SELECT endpoint_id, waiting, count(*), min(next_at) FROM (
    SELECT endpoint.id AS endpoint_id,
           CASE WHEN endpoint.breaker = 'disabled' THEN 'endpoint_disabled'
                WHEN endpoint.breaker = 'open' THEN 'breaker_open'
                WHEN delivery.due_at = 'infinity' THEN 'earlier_event'
                WHEN delivery.due_at > $2 THEN 'next_attempt'
                WHEN delivery.next_attempt_at > $2 THEN 'under_way'
                ELSE 'worker' END AS waiting,
           CASE WHEN endpoint.breaker = 'open' THEN endpoint.probe_at
                WHEN endpoint.breaker = 'closed' AND delivery.due_at > $2
                     AND delivery.due_at < 'infinity' THEN delivery.due_at END AS next_at
    FROM webhook_deliveries delivery
    JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
    JOIN outbox event ON event.cursor = delivery.event_cursor
    WHERE endpoint.removed_at IS NULL AND endpoint.partner_environment_id = $1
      AND delivery.state = 'pending'
      AND ($3::uuid IS NULL OR endpoint.id = $3)
      AND ($4::timestamptz IS NULL OR event.created_at >= $4)
      AND ($5::timestamptz IS NULL OR event.created_at < $5)
      AND ($6::timestamptz IS NULL OR delivery.last_attempt_at >= $6)
      AND ($7::bigint IS NULL OR delivery.id = $7)
) AS pending GROUP BY endpoint_id, waiting ORDER BY endpoint_id, waiting
"""

_RESET = """
UPDATE webhook_deliveries
SET state = 'pending', attempts_before = attempts,
    due_at = CASE WHEN ordered_subject IS NULL THEN $2::timestamptz ELSE 'infinity' END,
    next_attempt_at = CASE WHEN ordered_subject IS NULL THEN $2::timestamptz ELSE 'infinity' END
WHERE id = ANY($1::bigint[]) AND state <> 'pending'
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Deliveries of one partner environment, or of one endpoint of it, that have ended.

    `since` and `until` (exclusive) bound when the event happened, `failed_since` when the last attempt
    was made; with it only failed deliveries are meant. None leaves a bound out.
    """

    partner_environment_id: int
    endpoint_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How many deliveries of an endpoint wait, and for what; `next_at` is the next probe or attempt, where
    one is due at a time."""

    endpoint_id: UUID
    waiting: Waiting
    count: int
    next_at: datetime | None


async def standing(
    connection: Connection, selection: Selection, now: datetime, delivery_id: int | None = None
) -> list[Standing]:
    """What is pending of a selection, or of it the one delivery, and why."""
    rows = await connection.fetch(
        _STANDING,
        selection.partner_environment_id,
        now,
        selection.endpoint_id,
        selection.since,
        selection.until,
        selection.failed_since,
        delivery_id,
    )
    return [Standing(to, Waiting(why), count, next_at) for to, why, count, next_at in rows]


async def replay_delivery(
    tx: Connection, partner_environment_id: int, delivery_id: int, now: datetime
) -> int:
    """Make one delivery due at `now`, whatever became of it; a pending one is left as it is. How many.

    Raises NotFoundError for one that is not this partner environment's, InvalidInputError when its
    endpoint was removed or its payload pruned.
    """
    row: Any = await tx.fetchrow(
        "SELECT endpoint_id, event_cursor, removed_at FROM webhook_deliveries delivery"
        " JOIN webhook_endpoints endpoint ON endpoint.id = endpoint_id"
        " WHERE delivery.id = $1 AND partner_environment_id = $2",
        delivery_id,
        partner_environment_id,
    )
    if row is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    if row["removed_at"] is not None:
        raise InvalidInputError(f"the endpoint of delivery {delivery_id} was removed")
    await queries.lock_endpoints(tx, [row["endpoint_id"]])
    held: Any = await tx.fetchrow(
        "SELECT ordered_subject, body IS NOT NULL AS kept FROM webhook_deliveries delivery"
        " JOIN outbox event ON event.cursor = event_cursor WHERE delivery.id = $1 FOR SHARE OF event",
        delivery_id,
    )
    if not held["kept"]:
        raise InvalidInputError(f"the payload of delivery {delivery_id} is no longer kept")
    return await _reset(tx, [(delivery_id, row["endpoint_id"], held["ordered_subject"])], now)


async def replay(database: Database, selection: Selection, now: datetime) -> int:
    """Make all deliveries of the selection due at `now`; how many.

    In batches, each a transaction: stopped anywhere, some are due and none is lost; asked again, those
    that have ended since are sent once more. An object's events keep their order where the endpoint
    asked for it. Raises DatabaseUnavailableError.
    """
    replayed, after = 0, 0
    async with database.connection() as connection:
        endpoint_ids = await _endpoints(connection, selection)
        last = await connection.fetchval("SELECT coalesce(max(cursor), 0) FROM outbox")
    while endpoint_ids:
        async with database.transaction() as tx:
            cursors = [
                row["event_cursor"]
                for row in await tx.fetch(_NEXT_EVENTS, endpoint_ids, after, last, _BATCH)
            ]
            if not cursors:
                break
            await queries.lock_endpoints(tx, endpoint_ids)
            replayed += await _reset(tx, await _select(tx, selection, after, cursors), now)
            after = cursors[-1]
    return replayed


async def _endpoints(connection: Connection, selection: Selection) -> list[UUID]:
    rows = await connection.fetch(
        "SELECT id FROM webhook_endpoints WHERE partner_environment_id = $1"
        " AND removed_at IS NULL AND ($2::uuid IS NULL OR id = $2)",
        selection.partner_environment_id,
        selection.endpoint_id,
    )
    return [row["id"] for row in rows]


async def _select(
    tx: Connection, selection: Selection, after: int, cursors: Sequence[int]
) -> list[tuple[int, UUID, str | None]]:
    states = [DeliveryState.FAILED] if selection.failed_since is not None else _ENDED
    rows = await tx.fetch(
        _SELECT,
        selection.partner_environment_id,
        selection.endpoint_id,
        [state.value for state in states],
        after,
        selection.since,
        selection.until,
        selection.failed_since,
        cursors,
    )
    return [tuple(row) for row in rows]


async def _reset(
    tx: Connection, chosen: Sequence[tuple[int, UUID, str | None]], now: datetime
) -> int:
    """The caller holds the endpoints and the events."""
    reset = await tx.fetch(_RESET, [delivery_id for delivery_id, _, _ in chosen], now)
    if objects := [(to, subject) for _, to, subject in chosen if subject is not None]:
        await queries.release(tx, objects, now)
    if reset:
        await notify(tx, queries.CHANGED)
    return len(reset)
