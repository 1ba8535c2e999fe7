"""The slice's SQL. An event's body stays in the outbox: one row, however many endpoints get it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from proof.db import Connection
from proof.events import RelayedEvent
from proof.webhooks.types import ClaimedDelivery, Outcome

_PUT_ENDPOINT = """
INSERT INTO webhook_endpoints (id, partner_environment_id, purpose, url) VALUES ($1, $2, $3, $4)
ON CONFLICT (partner_environment_id, purpose) WHERE removed_at IS NULL
DO UPDATE SET url = excluded.url WHERE webhook_endpoints.url <> excluded.url
"""

_REMOVE_ENDPOINT = """
UPDATE webhook_endpoints SET removed_at = now()
WHERE partner_environment_id = $1 AND purpose = $2 AND removed_at IS NULL
RETURNING id
"""

# A statement of its own: it must see what a fan-out committed while the removal waited for it.
_ABANDON = """
UPDATE webhook_deliveries SET state = 'failed', last_outcome = 'endpoint removed'
WHERE endpoint_id = $1 AND state = 'pending'
"""

# FOR SHARE: an endpoint removed meanwhile is passed over, one being used waits to be removed.
_FAN_OUT = """
INSERT INTO webhook_deliveries (event_id, endpoint_id)
SELECT event.id, endpoint.id
FROM unnest($1::uuid[], $2::integer[], $3::text[])
     WITH ORDINALITY AS event (id, partner_environment_id, type, place)
JOIN webhook_endpoints endpoint
  ON endpoint.partner_environment_id = event.partner_environment_id
 AND endpoint.purpose = event.type AND endpoint.removed_at IS NULL
ORDER BY event.place
FOR SHARE OF endpoint
"""

# Endpoints with work are found by skipping through the index, one probe each, and only the first few
# rows of each are read: ten thousand rows of a dead endpoint cost as much as sixteen. Whoever has
# least in flight comes first. Only what is chosen is locked, and looked at again once it is: another
# worker may have chosen the same.
_CLAIM = """
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM webhook_deliveries
            WHERE state = 'pending' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
), due AS (
    SELECT head.id, head.next_attempt_at, waiting.endpoint_id,
           coalesce(busy.in_flight, 0) AS in_flight
    FROM waiting
    LEFT JOIN unnest($2::uuid[], $3::integer[]) AS busy (endpoint_id, in_flight)
           ON busy.endpoint_id = waiting.endpoint_id
    CROSS JOIN LATERAL (
        SELECT id, next_attempt_at FROM webhook_deliveries
        WHERE endpoint_id = waiting.endpoint_id AND state = 'pending' AND next_attempt_at <= $1
        ORDER BY next_attempt_at
        LIMIT greatest(least($4 - coalesce(busy.in_flight, 0), $5), 0)
    ) AS head
    WHERE waiting.endpoint_id IS NOT NULL
), chosen AS (
    SELECT id FROM due
    ORDER BY in_flight + row_number() OVER (PARTITION BY endpoint_id ORDER BY next_attempt_at),
             next_attempt_at
    LIMIT $5
), locked AS (
    SELECT delivery.id FROM webhook_deliveries delivery JOIN chosen USING (id)
    WHERE delivery.state = 'pending' AND delivery.next_attempt_at <= $1
    FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries delivery SET attempts = attempts + 1, next_attempt_at = $6
FROM locked, webhook_endpoints endpoint, outbox event
WHERE delivery.id = locked.id
  AND endpoint.id = delivery.endpoint_id AND event.id = delivery.event_id
RETURNING delivery.id, delivery.attempts AS attempt, delivery.endpoint_id, endpoint.url,
          event.partner_environment_id, event.id AS event_id, event.type AS event_type, event.body
"""

# Rows are locked in one order, so that two recorders cannot wait for each other. An attempt whose
# lease ran out does not overrule the one that followed it, except by having been delivered.
_RECORD = """
WITH outcome AS (
    SELECT outcome.*
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::timestamptz[])
        AS outcome (delivery_id, attempt, state, text, at)
    JOIN webhook_deliveries delivery ON delivery.id = outcome.delivery_id
    ORDER BY delivery.id FOR UPDATE OF delivery
)
UPDATE webhook_deliveries delivery
SET state = outcome.state, last_outcome = outcome.text,
    next_attempt_at = CASE outcome.state
                      WHEN 'pending' THEN outcome.at ELSE delivery.next_attempt_at END,
    delivered_at = CASE outcome.state WHEN 'delivered' THEN outcome.at END
FROM outcome
WHERE delivery.id = outcome.delivery_id
  AND (delivery.state = 'pending' AND delivery.attempts = outcome.attempt
       OR delivery.state <> 'delivered' AND outcome.state = 'delivered')
"""


async def put_endpoint(
    tx: Connection, endpoint_id: UUID, partner_environment_id: int, purpose: str, url: str
) -> None:
    """Create the purpose's endpoint, or give it another URL, which pending deliveries then use."""
    await tx.execute(_PUT_ENDPOINT, endpoint_id, partner_environment_id, purpose, url)


async def remove_endpoint(tx: Connection, partner_environment_id: int, purpose: str) -> None:
    """Retire the purpose's endpoint, if any, and give up what is pending for it."""
    removed = await tx.fetchval(_REMOVE_ENDPOINT, partner_environment_id, purpose)
    if removed is not None:
        await tx.execute(_ABANDON, removed)


async def select_endpoints(connection: Connection, partner_environment_id: int) -> dict[str, str]:
    """URL by purpose."""
    rows = await connection.fetch(
        "SELECT purpose, url FROM webhook_endpoints"
        " WHERE partner_environment_id = $1 AND removed_at IS NULL ORDER BY purpose",
        partner_environment_id,
    )
    return {row["purpose"]: row["url"] for row in rows}


async def insert_deliveries(tx: Connection, relayed: Sequence[RelayedEvent]) -> int:
    """One delivery for each event and endpoint that match; how many."""
    events = [one.event for one in relayed]
    status = await tx.execute(
        _FAN_OUT,
        [event.id for event in events],
        [event.partner_environment_id for event in events],
        [event.type for event in events],
    )
    return int(status.rpartition(" ")[2])


async def claim(
    connection: Connection,
    now: datetime,
    in_flight: Mapping[UUID, int],
    per_endpoint: int,
    limit: int,
    lease_end: datetime,
) -> list[ClaimedDelivery]:
    """Take deliveries due at `now`, so that nobody else takes them before `lease_end`."""
    rows = await connection.fetch(
        _CLAIM,
        now,
        list(in_flight.keys()),
        list(in_flight.values()),
        per_endpoint,
        limit,
        lease_end,
    )
    return [ClaimedDelivery(**row) for row in rows]


async def record(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write what attempts came to, in one statement."""
    await connection.execute(
        _RECORD,
        [outcome.delivery_id for outcome in outcomes],
        [outcome.attempt for outcome in outcomes],
        [outcome.state.value for outcome in outcomes],
        [outcome.text for outcome in outcomes],
        [outcome.at for outcome in outcomes],
    )
