"""Deliveries of any partner environments together, as an operator looks through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.webhooks.records import DeliveryRecord
from proof.webhooks.types import State

PAGE_MAX = 1000

_FIND = """
SELECT endpoint.partner_environment_id AS owner,
    delivery.id, delivery.event_id, delivery.endpoint_id, event.type AS event_type, event.subject,
    event.sequence, event.created_at AS happened_at, delivery.state, delivery.attempts,
    nullif(delivery.next_attempt_at, 'infinity') AS next_attempt_at, delivery.delivered_at,
    delivery.last_attempt_at, delivery.last_outcome, delivery.last_status,
    delivery.last_elapsed_ms, delivery.last_body, event.body IS NOT NULL AS replayable
FROM webhook_deliveries delivery
JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
JOIN outbox event ON event.cursor = delivery.event_cursor
WHERE endpoint.partner_environment_id = ANY($1::integer[])
  AND ($2::uuid IS NULL OR endpoint.id = $2)
  AND ($3::text IS NULL OR delivery.state = $3)
  AND ($4::timestamptz IS NULL OR event.created_at >= $4)
  AND ($5::bigint IS NULL OR delivery.id < $5)
ORDER BY delivery.id DESC LIMIT $6
"""


@dataclass(frozen=True, slots=True)
class Search:
    """Which deliveries are meant. `since` bounds when the event happened; None leaves a bound out."""

    partner_environment_ids: Sequence[int]
    endpoint_id: UUID | None = None
    state: State | None = None
    since: datetime | None = None
    before_id: int | None = None
    limit: int = 100


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
        wanted.since,
        wanted.before_id,
        wanted.limit,
    )
    return [_found(dict(row)) for row in rows]


def _found(columns: dict[str, Any]) -> FoundDelivery:
    owner = columns.pop("owner")
    return FoundDelivery(owner, DeliveryRecord(**columns | {"state": State(columns["state"])}))
