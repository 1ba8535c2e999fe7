"""The SQL of endpoints and their breakers."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.webhooks.breaker import Verdict
from proof.webhooks.notices import Change
from proof.webhooks.types import Breaker, Endpoint, Ordering

_CLOSED = """breaker = 'closed', reason = NULL, opened_at = NULL, probe_at = NULL,
    failed_probes = 0, disabled_at = NULL"""

# Named again, or given another URL, an endpoint starts anew: somebody says that it works now.
_PUT_ENDPOINT = f"""
INSERT INTO webhook_endpoints (id, partner_environment_id, purpose, url) VALUES ($1, $2, $3, $4)
ON CONFLICT (partner_environment_id, purpose) WHERE removed_at IS NULL
DO UPDATE SET url = excluded.url, {_CLOSED}
WHERE webhook_endpoints.url <> excluded.url OR webhook_endpoints.breaker <> 'closed'
"""

_REMOVE_ENDPOINT = """
UPDATE webhook_endpoints SET removed_at = now()
WHERE partner_environment_id = $1 AND purpose = $2 AND removed_at IS NULL
RETURNING id
"""

# A statement of its own: it must see what a fan-out committed while the removal waited for it.
_ABANDON = """
UPDATE webhook_deliveries SET state = 'failed', last_outcome = 'endpoint removed'
WHERE id IN (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'pending'
             ORDER BY id FOR UPDATE)
"""

_COLUMNS = """id, partner_environment_id, purpose, url, ordering, ed25519, breaker, reason,
    opened_at, probe_at, failed_probes, disabled_at, created_at"""

# Each verdict is guarded by the state it changes, so that of several workers one makes the change.
_OPEN = """
UPDATE webhook_endpoints
SET breaker = 'open', reason = $3, opened_at = $4, probe_at = $5, failed_probes = 0
WHERE id = $1 AND url = $2 AND breaker = 'closed' AND removed_at IS NULL
RETURNING partner_environment_id, purpose, breaker, reason
"""

_PROBE_FAILED = """
UPDATE webhook_endpoints
SET failed_probes = failed_probes + 1, probe_at = $5,
    breaker = CASE WHEN over THEN 'disabled' ELSE 'open' END,
    disabled_at = CASE WHEN over THEN $4::timestamptz END,
    reason = CASE WHEN over THEN $3::text ELSE reason END
FROM (SELECT id AS probed, failed_probes + 1 >= $7 AND opened_at <= $6::timestamptz AS over
      FROM webhook_endpoints WHERE id = $1) AS judged
WHERE id = probed AND url = $2 AND breaker = 'open' AND removed_at IS NULL
RETURNING partner_environment_id, purpose, breaker, reason
"""

_RECOVER = f"""
UPDATE webhook_endpoints SET {_CLOSED}
WHERE id = $1 AND url = $2 AND breaker = 'open' AND removed_at IS NULL
RETURNING partner_environment_id, purpose, breaker, reason
"""

_DISABLE = """
UPDATE webhook_endpoints SET breaker = 'disabled', reason = $3, disabled_at = $4
WHERE id = $1 AND url = $2 AND breaker <> 'disabled' AND removed_at IS NULL
RETURNING partner_environment_id, purpose, breaker, reason
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


async def close_breaker(tx: Connection, endpoint_id: UUID) -> bool:
    """Call the endpoint again; whether there was such an endpoint."""
    return bool(
        await tx.fetchval(
            f"UPDATE webhook_endpoints SET {_CLOSED} WHERE id = $1 AND removed_at IS NULL"
            " RETURNING true",
            endpoint_id,
        )
    )


async def judge(
    connection: Connection, verdict: Verdict
) -> tuple[int, str, Breaker, str | None] | None:
    """Write a verdict: the environment, purpose, breaker and reason; None when it changed nothing."""
    row = await connection.fetchrow(*_statement(verdict))
    return None if row is None else (row[0], row[1], Breaker(row[2]), row[3])


def _statement(verdict: Verdict) -> tuple[Any, ...]:
    where = (verdict.endpoint_id, verdict.url)
    match verdict.change:
        case Change.OPENED:
            return _OPEN, *where, verdict.reason, verdict.at, verdict.probe_at
        case Change.RECOVERED:
            return _RECOVER, *where
        case Change.DISABLED:
            return _DISABLE, *where, verdict.reason, verdict.at
        case _:
            limits = (verdict.disable_opened_before, verdict.disable_at_probes)
            return _PROBE_FAILED, *where, verdict.reason, verdict.at, verdict.probe_at, *limits


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(
        **{
            **row,
            "ordering": Ordering(row["ordering"]),
            "breaker": Breaker(row["breaker"]),
        }
    )
