"""The SQL of endpoints and their breakers."""

from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from proof.db import Connection
from proof.events import notify
from proof.webhooks.breaker import BreakerChange, Finding
from proof.webhooks.queries import CHANGED
from proof.webhooks.types import Breaker, Change, Endpoint, Ordering, Subscription

_CLOSED = """breaker = 'closed', reason = NULL, opened_at = NULL, probe_at = NULL,
    failed_probes = 0, disabled_at = NULL, failing_since = NULL, failures = 0"""

# Setting the same or another URL resets what is known of the endpoint: the partner says that it works.
_PUT_ENDPOINT = f"""
INSERT INTO webhook_endpoints (id, partner_environment_id, purpose, url) VALUES ($1, $2, $3, $4)
ON CONFLICT (partner_environment_id, purpose) WHERE removed_at IS NULL
DO UPDATE SET url = excluded.url, {_CLOSED}
WHERE webhook_endpoints.url <> excluded.url OR webhook_endpoints.breaker <> 'closed'
RETURNING id
"""

_REMOVE_ENDPOINT = """
UPDATE webhook_endpoints SET removed_at = now()
WHERE partner_environment_id = $1 AND purpose = $2 AND removed_at IS NULL
"""

# A hundred thousand deliveries may wait for an endpoint that is removed. Giving all of them up in the same
# transaction would lock the endpoint's row, and with it every relay, for seconds, so this is done in
# batches. Endpoints are found by skipping through the index.
_ABANDON = """
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM webhook_deliveries
            WHERE state = 'pending' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
), abandoned AS (
    SELECT delivery.id FROM waiting
    JOIN webhook_endpoints endpoint
      ON endpoint.id = waiting.endpoint_id AND endpoint.removed_at IS NOT NULL
    JOIN webhook_deliveries delivery
      ON delivery.endpoint_id = endpoint.id AND delivery.state = 'pending'
    LIMIT $1 FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries delivery SET state = 'failed', last_outcome = 'endpoint removed'
FROM abandoned WHERE delivery.id = abandoned.id
"""

_COLUMNS = """id, partner_environment_id, purpose, url, ordering, ed25519, events, breaker, reason,
    opened_at, probe_at, failed_probes, disabled_at, created_at"""

# Each verdict is guarded by the state it changes, so that of several workers one makes the change. Whom it
# is to be told is written in the same statement: there is no change without its notices.
_TOLD = """
, told AS (
    INSERT INTO webhook_notices
        (endpoint_id, partner_environment_id, purpose, host, change, reason, at, audience, due_at)
    SELECT id, partner_environment_id, purpose, $3,
           CASE breaker WHEN 'open' THEN 'opened' ELSE 'disabled' END, reason, $4, audience, $4
    FROM changed CROSS JOIN (VALUES ('operator'), ('partner')) AS audiences (audience)
    WHERE breaker <> 'closed' AND breaker <> breaker_before
      AND NOT (breaker = 'open' AND EXISTS (
          SELECT FROM webhook_notices earlier WHERE earlier.endpoint_id = changed.id
          AND earlier.change = 'opened' AND earlier.at > $4::timestamptz - interval '6 hours'))
)
SELECT partner_environment_id, purpose, breaker, reason, breaker <> breaker_before AS moved FROM changed
"""

_CHANGED = "RETURNING id, partner_environment_id, purpose, breaker, reason"

_OPEN = f"""
WITH changed AS (
    UPDATE webhook_endpoints
    SET breaker = 'open', reason = $5, opened_at = $4, probe_at = $6, failed_probes = 0
    WHERE id = $1 AND url = $2 AND breaker = 'closed' AND removed_at IS NULL
    {_CHANGED}, 'closed' AS breaker_before
)
{_TOLD}
"""

_FAILED = f"""
WITH changed AS (
    UPDATE webhook_endpoints
    SET failures = failures + 1, failing_since = coalesce(failing_since, $4::timestamptz),
        breaker = CASE WHEN over THEN 'open' ELSE breaker END,
        reason = CASE WHEN over THEN $5::text END,
        opened_at = CASE WHEN over THEN $4::timestamptz END,
        probe_at = CASE WHEN over THEN $6::timestamptz END, failed_probes = 0
    FROM (SELECT id AS judged,
                 failures + 1 >= $8 AND coalesce(failing_since <= $7::timestamptz, false) AS over
          FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE) AS judgement
    WHERE id = judged AND url = $2 AND breaker = 'closed' AND removed_at IS NULL
    {_CHANGED}, 'closed' AS breaker_before
)
{_TOLD}
"""

_PROBE_FAILED = f"""
WITH changed AS (
    UPDATE webhook_endpoints
    SET failed_probes = failed_probes + 1, probe_at = $6,
        breaker = CASE WHEN over THEN 'disabled' ELSE 'open' END,
        disabled_at = CASE WHEN over THEN $4::timestamptz END,
        reason = CASE WHEN over THEN $5::text ELSE reason END
    FROM (SELECT id AS judged, failed_probes + 1 >= $8 AND opened_at <= $7::timestamptz AS over
          FROM webhook_endpoints WHERE id = $1) AS judgement
    WHERE id = judged AND url = $2 AND breaker = 'open' AND removed_at IS NULL
    {_CHANGED}, 'open' AS breaker_before
)
{_TOLD}
"""

_DISABLE = f"""
WITH changed AS (
    UPDATE webhook_endpoints SET breaker = 'disabled', reason = $5, disabled_at = $4
    WHERE id = $1 AND url = $2 AND breaker <> 'disabled' AND removed_at IS NULL
    {_CHANGED}, '' AS breaker_before
)
{_TOLD}
"""

# What waits for the endpoint alone; an object's later events wait for the one before them. The attempt is
# none of the delivery's schedule: an endpoint that answers a probe and fails again, ever anew, would use up
# in minutes what is meant for days; the bound keeps such a one from counting past the column. The limit is
# some tenths of a second, in which the endpoint's row is held.
_LET_OUT = """
UPDATE webhook_deliveries SET due_at = {now}, next_attempt_at = {now},
    attempts_before = attempts_before + CASE WHEN attempts > attempts_before THEN 1 ELSE 0 END
WHERE id IN (SELECT id FROM webhook_deliveries
             WHERE endpoint_id {endpoint} AND state = 'pending' AND attempts < 1000
               AND due_at > {now} AND due_at < 'infinity'
             ORDER BY id LIMIT 10000 FOR UPDATE)
"""
_LET_OUT_NOW = _LET_OUT.format(now="now()", endpoint="= $1")

_RECOVER = f"""
WITH changed AS (
    UPDATE webhook_endpoints SET {_CLOSED}
    WHERE id = $1 AND url = $2 AND breaker = 'open' AND removed_at IS NULL
    RETURNING id, partner_environment_id, purpose, breaker, reason
), let_out AS (
    {_LET_OUT.format(now="$3::timestamptz", endpoint="IN (SELECT id FROM changed)")}
)
SELECT partner_environment_id, purpose, breaker, reason, true AS moved FROM changed
"""

_ANSWERED = """
UPDATE webhook_endpoints SET failing_since = NULL, failures = 0
WHERE id = $1 AND url = $2 AND failures > 0 AND breaker = 'closed' AND removed_at IS NULL
"""


async def put_endpoint(
    tx: Connection, endpoint_id: UUID, partner_environment_id: int, purpose: str, url: str
) -> None:
    """Create the purpose's endpoint, or give it another URL, which pending deliveries then use at once."""
    put = await tx.fetchval(_PUT_ENDPOINT, endpoint_id, partner_environment_id, purpose, url)
    if put is not None:
        await tx.execute(_LET_OUT_NOW, put)
        await notify(tx, CHANGED)


async def remove_endpoint(tx: Connection, partner_environment_id: int, purpose: str) -> None:
    """Retire the purpose's endpoint, if any; `abandon` gives up what is pending for it."""
    await tx.execute(_REMOVE_ENDPOINT, partner_environment_id, purpose)
    await notify(tx, CHANGED)


async def abandon(connection: Connection, limit: int) -> int:
    """Give up at most `limit` deliveries that are pending for endpoints removed; how many."""
    return int((await connection.execute(_ABANDON, limit)).split()[-1])


async def select_endpoints(
    connection: Connection, partner_environment_id: int | None, endpoint_ids: Sequence[UUID] | None
) -> list[Endpoint]:
    """Endpoints not removed; None leaves a condition out."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE removed_at IS NULL"
        " AND ($1::integer IS NULL OR partner_environment_id = $1)"
        " AND ($2::uuid[] IS NULL OR id = ANY($2)) ORDER BY partner_environment_id, purpose",
        partner_environment_id,
        endpoint_ids,
    )
    return [_endpoint(row) for row in rows]


async def set_ordering(tx: Connection, endpoint_id: UUID, ordering: Ordering) -> bool:
    """Whether there was such an endpoint. What was held back for order is due when there is none."""
    found = await tx.fetchval(
        "UPDATE webhook_endpoints SET ordering = $2 WHERE id = $1 AND removed_at IS NULL RETURNING true",
        endpoint_id,
        ordering.value,
    )
    if found and ordering is Ordering.NONE:
        await tx.execute(
            "UPDATE webhook_deliveries SET ordered_subject = NULL,"
            " due_at = CASE due_at WHEN 'infinity' THEN now() ELSE due_at END,"
            " next_attempt_at = CASE due_at WHEN 'infinity' THEN now() ELSE next_attempt_at END"
            " WHERE endpoint_id = $1 AND state = 'pending' AND ordered_subject IS NOT NULL",
            endpoint_id,
        )
        await notify(tx, CHANGED)
    return bool(found)


async def set_ed25519(tx: Connection, endpoint_id: UUID, ed25519: bool) -> int | None:
    """The endpoint's partner environment; None when there is no such endpoint."""
    owner: int | None = await tx.fetchval(
        "UPDATE webhook_endpoints SET ed25519 = $2 WHERE id = $1 AND removed_at IS NULL"
        " RETURNING partner_environment_id",
        endpoint_id,
        ed25519,
    )
    return owner


async def set_events(tx: Connection, endpoint_id: UUID, events: Collection[Subscription]) -> bool:
    """Whether there was such an endpoint."""
    found = await tx.fetchval(
        "UPDATE webhook_endpoints SET events = $2 WHERE id = $1 AND removed_at IS NULL RETURNING true",
        endpoint_id,
        sorted(events),
    )
    return bool(found)


async def subscribers(
    connection: Connection, partner_environment_ids: Sequence[int], subscription: Subscription
) -> set[int]:
    """Those of these partner environments whose endpoint asked for it."""
    rows = await connection.fetch(
        "SELECT partner_environment_id FROM webhook_endpoints WHERE removed_at IS NULL"
        " AND partner_environment_id = ANY($1::integer[]) AND $2 = ANY(events)"
        " AND purpose = 'transaction'",
        list(partner_environment_ids),
        subscription.value,
    )
    return {row["partner_environment_id"] for row in rows}


async def close_breaker(tx: Connection, endpoint_id: UUID) -> bool:
    """Call the endpoint again, with all that waits for it; whether there was such an endpoint."""
    closed = await tx.fetchval(
        f"UPDATE webhook_endpoints SET {_CLOSED} WHERE id = $1 AND removed_at IS NULL RETURNING true",
        endpoint_id,
    )
    if closed:
        await tx.execute(_LET_OUT_NOW, endpoint_id)
        await notify(tx, CHANGED)
    return bool(closed)


async def judge(
    connection: Connection, verdict: BreakerChange
) -> tuple[int, str, Breaker, str | None] | None:
    """Write a verdict, and with it the notices of what it changes: the environment, purpose, breaker and
    reason; None when the breaker is as before."""
    row = await connection.fetchrow(*_statement(verdict))
    return None if row is None or not row[4] else (row[0], row[1], Breaker(row[2]), row[3])


def _statement(verdict: BreakerChange) -> tuple[Any, ...]:
    where = (verdict.endpoint_id, verdict.url)
    told = (*where, urlsplit(verdict.url).hostname or "", verdict.at, verdict.reason)
    match verdict.change:
        case Change.OPENED:
            return _OPEN, *told, verdict.probe_at
        case Change.RECOVERED:
            return _RECOVER, *where, verdict.at
        case Change.DISABLED:
            return _DISABLE, *told
        case Finding.ANSWERED:
            return _ANSWERED, *where
        case Finding.FAILED:
            return _FAILED, *told, verdict.probe_at, verdict.since, verdict.limit
        case Finding.PROBE_FAILED:
            return _PROBE_FAILED, *told, verdict.probe_at, verdict.since, verdict.limit


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(
        **{
            **row,
            "ordering": Ordering(row["ordering"]),
            "events": tuple(map(Subscription, row["events"])),
            "breaker": Breaker(row["breaker"]),
        }
    )
