"""Looking deliveries up: what was sent where, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.webhooks.types import State

PAGE_MAX = 1000

_FIND = """
SELECT endpoint.partner_environment_id AS owner, delivery.id, delivery.event_id,
    delivery.endpoint_id, event.type AS event_type, event.subject, event.sequence,
    event.created_at AS happened_at, delivery.state, delivery.attempts,
    nullif(delivery.next_attempt_at, 'infinity') AS next_attempt_at, delivery.delivered_at,
    delivery.last_attempt_at, delivery.last_outcome, delivery.last_status,
    delivery.last_elapsed_ms, delivery.last_body, event.body IS NOT NULL AS replayable
FROM webhook_deliveries delivery
JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
JOIN outbox event ON event.cursor = delivery.event_cursor
WHERE endpoint.partner_environment_id = ANY($1::integer[])
  AND ($2::uuid IS NULL OR endpoint.id = $2)
  AND ($3::text IS NULL OR delivery.state = $3)
  AND ($4::text IS NULL OR event.subject = $4)
  AND ($5::timestamptz IS NULL OR event.created_at >= $5)
  AND ($6::bigint IS NULL OR delivery.id < $6)
ORDER BY delivery.id DESC LIMIT $7
"""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery and its last attempt. `last_body` is the beginning of the reply, as it came.

    `next_attempt_at` is None while an earlier event of the object is before it; it means nothing
    unless the state is pending.
    """

    id: int
    event_id: UUID
    endpoint_id: UUID
    event_type: str
    subject: str
    sequence: int
    happened_at: datetime
    state: State
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_attempt_at: datetime | None
    last_outcome: str | None
    last_status: int | None
    last_elapsed_ms: int | None
    last_body: bytes | None
    replayable: bool


@dataclass(frozen=True, slots=True)
class Search:
    """Which deliveries are meant. `since` bounds when the event happened; None leaves a bound out."""

    partner_environment_ids: Sequence[int]
    endpoint_id: UUID | None = None
    state: State | None = None
    since: datetime | None = None
    before_id: int | None = None
    limit: int = 100
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    """A delivery and whose it is."""

    partner_environment_id: int
    record: DeliveryRecord


async def search_deliveries(connection: Connection, wanted: Search) -> list[FoundDelivery]:
    """The newest deliveries first, at most `limit`; the next page is before the last one's id."""
    rows = await connection.fetch(
        _FIND,
        wanted.partner_environment_ids,
        wanted.endpoint_id,
        None if wanted.state is None else wanted.state.value,
        wanted.subject,
        wanted.since,
        wanted.before_id,
        wanted.limit,
    )
    return [_found(dict(row)) for row in rows]


def _found(columns: dict[str, Any]) -> FoundDelivery:
    owner = columns.pop("owner")
    return FoundDelivery(owner, DeliveryRecord(**columns | {"state": State(columns["state"])}))
