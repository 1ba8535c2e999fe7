"""The SQL of deliveries. An event's body stays in the outbox: one row, however many endpoints get it.

Of the deliveries of one object to an endpoint that asked for order, only the oldest pending one is
ever due; the others are put off to infinity, and `release` lets the next one out. Whoever adds or ends
such deliveries locks the endpoint first, in a statement of its own, so that the release sees all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from proof.db import Connection
from proof.webhooks.types import AttemptOutcome, ClaimedDelivery

CHANGED = "proof_deliveries_changed"
"""What PostgreSQL notifies when somebody else than a deliverer made deliveries due, or gave them up."""

# FOR SHARE: an endpoint that was removed meanwhile is passed over, and one in use is removed afterwards.
_TARGETS = """
SELECT id, partner_environment_id, purpose, ordering, events FROM webhook_endpoints
WHERE removed_at IS NULL AND (
    (partner_environment_id, purpose) IN (SELECT * FROM unnest($1::integer[], $2::text[]))
    OR id = ANY($3::uuid[]))
ORDER BY id FOR SHARE
"""

_INSERT = """
INSERT INTO webhook_deliveries
    (event_id, event_cursor, endpoint_id, ordered_subject, due_at, next_attempt_at)
SELECT event_id, event_cursor, endpoint_id, ordered_subject, due_at, due_at
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[])
     AS delivery (event_id, event_cursor, endpoint_id, ordered_subject)
CROSS JOIN LATERAL (
    SELECT CASE WHEN ordered_subject IS NULL THEN now() ELSE 'infinity' END AS due_at) AS time
ORDER BY event_cursor
"""

_RELEASE = """
UPDATE webhook_deliveries
SET due_at = coalesce($3, now()), next_attempt_at = coalesce($3, now())
WHERE id IN (
    SELECT head.id
    FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::text[])) AS object (endpoint_id, subject)
    CROSS JOIN LATERAL (
        SELECT id, due_at FROM webhook_deliveries
        WHERE endpoint_id = object.endpoint_id AND ordered_subject = object.subject
          AND state = 'pending'
        ORDER BY id LIMIT 1
    ) AS head
    WHERE head.due_at = 'infinity')
"""

_LOCK_ENDPOINTS = """
SELECT id FROM webhook_endpoints WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""

_CLAIMED = """
delivery.id, delivery.attempts AS attempt, delivery.attempts_before,
delivery.next_attempt_at AS lease_end, delivery.endpoint_id, delivery.ordered_subject, endpoint.url,
endpoint.purpose, endpoint.ed25519, event.partner_environment_id, event.id AS event_id,
event.sequence, event.body, endpoint.failures > 0 AS failing
"""

# Endpoints with work are found by skipping through the index, one probe each, and only the first few
# rows of each are read: ten thousand rows of a dead endpoint cost as much as sixteen. Whoever has
# least comes first. Only what is chosen is locked, and checked again once it is: another worker may
# have chosen the same. Rows are found again by their place, which spares an index; one that changed
# meanwhile is not found, and waits for the next claim.
_CLAIM = f"""
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM webhook_deliveries
            WHERE state = 'pending' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
), due AS (
    SELECT head.place, head.due_at, waiting.endpoint_id, coalesce(known.held, 0) AS held
    FROM waiting
    JOIN webhook_endpoints endpoint
      ON endpoint.id = waiting.endpoint_id AND endpoint.breaker = 'closed'
     AND endpoint.removed_at IS NULL
    LEFT JOIN unnest($2::uuid[], $3::integer[], $4::integer[]) AS known (endpoint_id, held, room)
           ON known.endpoint_id = waiting.endpoint_id
    CROSS JOIN LATERAL (
        SELECT ctid AS place, due_at FROM webhook_deliveries
        WHERE endpoint_id = waiting.endpoint_id AND state = 'pending'
          AND due_at <= $1 AND next_attempt_at <= $1
        ORDER BY due_at
        LIMIT greatest(least(coalesce(known.room, $5), $6), 0)
    ) AS head
), chosen AS (
    SELECT place FROM due
    ORDER BY held + row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at), due_at
    LIMIT $6
), locked AS (
    SELECT delivery.ctid AS place FROM webhook_deliveries delivery
    JOIN chosen ON delivery.ctid = chosen.place
    WHERE delivery.state = 'pending' AND delivery.next_attempt_at <= $1
    FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries delivery SET attempts = attempts + 1, next_attempt_at = $7
FROM locked, webhook_endpoints endpoint, outbox event
WHERE delivery.ctid = locked.place
  AND endpoint.id = delivery.endpoint_id AND event.cursor = delivery.event_cursor
RETURNING {_CLAIMED}
"""

# When the next delivery is due, or the next probe, of what is not due yet.
_NEXT = """
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM webhook_deliveries
            WHERE state = 'pending' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
)
SELECT min(CASE endpoint.breaker WHEN 'open' THEN endpoint.probe_at ELSE (
    SELECT due_at FROM webhook_deliveries
    WHERE endpoint_id = endpoint.id AND state = 'pending' AND due_at > $1 AND due_at < 'infinity'
    ORDER BY due_at LIMIT 1) END)
FROM waiting JOIN webhook_endpoints endpoint ON endpoint.id = waiting.endpoint_id
WHERE endpoint.removed_at IS NULL
  AND (endpoint.breaker = 'closed' OR endpoint.breaker = 'open' AND endpoint.probe_at > $1)
"""

# An endpoint has one probe at a time: the claim puts its next one off by a lease.
_CLAIM_PROBES = f"""
WITH probing AS (
    UPDATE webhook_endpoints SET probe_at = $3
    WHERE id IN (
        SELECT id FROM webhook_endpoints endpoint
        WHERE breaker = 'open' AND probe_at <= $1 AND removed_at IS NULL
          AND EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = endpoint.id
                      AND state = 'pending' AND due_at <= $1 AND next_attempt_at <= $1)
        ORDER BY probe_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, failed_probes
), locked AS (
    SELECT head.place, probing.failed_probes FROM probing CROSS JOIN LATERAL (
        SELECT ctid AS place FROM webhook_deliveries
        WHERE endpoint_id = probing.id AND state = 'pending'
          AND due_at <= $1 AND next_attempt_at <= $1
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS head
)
UPDATE webhook_deliveries delivery SET attempts = attempts + 1, next_attempt_at = $3
FROM locked, webhook_endpoints endpoint, outbox event
WHERE delivery.ctid = locked.place
  AND endpoint.id = delivery.endpoint_id AND event.cursor = delivery.event_cursor
RETURNING {_CLAIMED}, locked.failed_probes
"""

# Rows are locked in one order, so that two recorders cannot deadlock. An empty reply is one that was
# forgotten, and so is whatever is answered to an attempt that was under way then. The outcome of an attempt
# whose lease ran out does not replace that of the attempt after it, unless it was delivered.
_RECORD = """
WITH outcome AS (
    SELECT outcome.*
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::timestamptz[],
                $6::timestamptz[], $7::smallint[], $8::bytea[], $9::integer[], $10::smallint[])
        AS outcome (delivery_id, attempt, state, text, at, made_at, status, body, elapsed_ms,
                    uncounted)
    JOIN webhook_deliveries delivery ON delivery.id = outcome.delivery_id
    ORDER BY delivery.id FOR UPDATE OF delivery
)
UPDATE webhook_deliveries delivery
SET state = outcome.state, last_outcome = outcome.text,
    next_attempt_at = CASE outcome.state
                      WHEN 'pending' THEN outcome.at ELSE delivery.next_attempt_at END,
    due_at = CASE outcome.state WHEN 'pending' THEN outcome.at ELSE delivery.due_at END,
    delivered_at = CASE outcome.state
                   WHEN 'delivered' THEN outcome.at ELSE delivery.delivered_at END,
    attempts = delivery.attempts - outcome.uncounted, last_attempt_at = outcome.made_at,
    last_status = outcome.status, last_elapsed_ms = outcome.elapsed_ms,
    last_body = CASE WHEN delivery.last_body = ''::bytea THEN ''::bytea ELSE outcome.body END
FROM outcome
WHERE delivery.id = outcome.delivery_id
  AND (delivery.state = 'pending' AND delivery.attempts = outcome.attempt
       OR delivery.state <> 'delivered' AND outcome.state = 'delivered')
"""

_GIVE_BACK = """
WITH held AS (
    SELECT held.* FROM unnest($1::bigint[], $2::smallint[]) AS held (id, attempt)
    JOIN webhook_deliveries delivery USING (id)
    ORDER BY delivery.id FOR UPDATE OF delivery
)
UPDATE webhook_deliveries delivery
SET attempts = delivery.attempts - 1, next_attempt_at = $3, due_at = $3
FROM held
WHERE delivery.id = held.id AND delivery.state = 'pending' AND delivery.attempts = held.attempt
"""


async def targets(
    tx: Connection,
    partner_environment_ids: Sequence[int],
    purposes: Sequence[str],
    endpoint_ids: Sequence[UUID],
) -> list[tuple[UUID, int, str, str, list[str]]]:
    """The live endpoints of these (environment, purpose) pairs and ids: id, both, ordering, and what they
    asked for. Held."""
    rows = await tx.fetch(_TARGETS, partner_environment_ids, purposes, endpoint_ids)
    return [tuple(row) for row in rows]


async def insert_deliveries(
    tx: Connection, rows: Sequence[tuple[UUID, int, UUID, str | None]]
) -> None:
    """Deliveries of (event id, cursor, endpoint, ordered subject); due at once, or held in order."""
    await tx.execute(_INSERT, *map(list, zip(*rows, strict=True)))


async def lock_endpoints(tx: Connection, endpoint_ids: Sequence[UUID]) -> None:
    """Keep others from adding or ending ordered deliveries of these endpoints."""
    await tx.execute(_LOCK_ENDPOINTS, endpoint_ids)


async def release(
    tx: Connection, objects: Sequence[tuple[UUID, str]], due_at: datetime | None
) -> None:
    """Make the oldest pending delivery of each (endpoint, subject) due, unless it was let out before.

    None is the database's present moment. The caller holds the endpoints.
    """
    endpoints, subjects = [to for to, _ in objects], [subject for _, subject in objects]
    await tx.execute(_RELEASE, endpoints, subjects, due_at)


async def claim(
    connection: Connection,
    now: datetime,
    held: Mapping[UUID, int],
    per_endpoint: int,
    limit: int,
    lease_end: datetime,
    rooms: Mapping[UUID, int] | None = None,
) -> list[ClaimedDelivery]:
    """Take deliveries due at `now`, so that nobody else takes them before `lease_end`.

    `held` says how many of an endpoint's the caller has, `rooms` how many more it may get: by default
    what `held` leaves of `per_endpoint`. Only endpoints whose breaker is closed.
    """
    known = {endpoint: per_endpoint - count for endpoint, count in held.items()} | dict(rooms or {})
    rows = await connection.fetch(
        _CLAIM,
        now,
        list(known.keys()),
        [held.get(endpoint, 0) for endpoint in known],
        list(known.values()),
        per_endpoint,
        limit,
        lease_end,
    )
    return [ClaimedDelivery(*row) for row in rows]


async def next_due(connection: Connection, now: datetime) -> datetime | None:
    """When something that is not due at `now` will be, as far as is known; None when nothing is."""
    at: datetime | None = await connection.fetchval(_NEXT, now)
    return at


async def claim_probes(
    connection: Connection, now: datetime, limit: int, lease_end: datetime
) -> list[ClaimedDelivery]:
    """Take one due delivery of each endpoint whose open breaker is to be probed at `now`."""
    rows = await connection.fetch(_CLAIM_PROBES, now, limit, lease_end)
    return [ClaimedDelivery(*row) for row in rows]


async def record(connection: Connection, outcomes: Sequence[AttemptOutcome]) -> None:
    """Write what attempts came to, in one statement. Lets nothing out: see `release`."""
    await connection.execute(
        _RECORD,
        [outcome.delivery_id for outcome in outcomes],
        [outcome.attempt for outcome in outcomes],
        [outcome.state.value for outcome in outcomes],
        [outcome.text for outcome in outcomes],
        [outcome.at for outcome in outcomes],
        [outcome.made_at for outcome in outcomes],
        [outcome.status for outcome in outcomes],
        [outcome.body for outcome in outcomes],
        [outcome.elapsed_ms for outcome in outcomes],
        [outcome.uncounted for outcome in outcomes],
    )


async def give_back(
    connection: Connection, claimed: Sequence[ClaimedDelivery], due_at: datetime
) -> None:
    """Undo claims nothing was sent for: due again at `due_at`, the attempt uncounted."""
    ids, attempts = (
        [delivery.id for delivery in claimed],
        [delivery.attempt for delivery in claimed],
    )
    await connection.execute(_GIVE_BACK, ids, attempts, due_at)
