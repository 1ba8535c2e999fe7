"""Looking deliveries up: what was sent where, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proof.core.errors import NotFoundError
from proof.db import Connection
from proof.webhooks.types import State

_COLUMNS = """
delivery.id, delivery.event_id, delivery.endpoint_id, event.type AS event_type,
event.subject, event.sequence, event.created_at AS happened_at, delivery.state, delivery.attempts,
nullif(delivery.next_attempt_at, 'infinity') AS next_attempt_at, delivery.delivered_at,
delivery.last_attempt_at, delivery.last_outcome, delivery.last_status, delivery.last_elapsed_ms,
delivery.last_body, event.body IS NOT NULL AS replayable
"""

_FROM = """
FROM webhook_deliveries delivery
JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
JOIN outbox event ON event.cursor = delivery.event_cursor
WHERE endpoint.partner_environment_id = $1
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


async def find_deliveries(
    connection: Connection,
    partner_environment_id: int,
    endpoint_id: UUID | None = None,
    state: State | None = None,
    subject: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> Sequence[DeliveryRecord]:
    """The newest deliveries first; the next page begins before the last one's id."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} {_FROM} AND ($2::uuid IS NULL OR endpoint.id = $2)"
        " AND ($3::text IS NULL OR delivery.state = $3)"
        " AND ($4::text IS NULL OR event.subject = $4)"
        " AND ($5::bigint IS NULL OR delivery.id < $5) ORDER BY delivery.id DESC LIMIT $6",
        partner_environment_id,
        endpoint_id,
        None if state is None else state.value,
        subject,
        before_id,
        limit,
    )
    return [_record(row) for row in rows]


async def delivery_record(
    connection: Connection, partner_environment_id: int, delivery_id: int
) -> DeliveryRecord:
    """One delivery. Raises NotFoundError."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} {_FROM} AND delivery.id = $2", partner_environment_id, delivery_id
    )
    if row is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return _record(row)


def _record(row: Any) -> DeliveryRecord:
    return DeliveryRecord(**{**row, "state": State(row["state"])})
