"""Forgetting payloads: those that are old, in batches that hold nobody up, and what tells of a person.

An event's body and the replies to it go together, when the event is older than the age set. The rows
stay: what was sent where and when, and what came of it, can be looked up as before. Nothing that may
still have to be sent is touched.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.db import Connection, Database

BATCH = 500
_POLL_EVERY_S = 60.0

# Deliveries to a disabled endpoint stay pending for as long as payloads are kept, and then fail.
_GIVE_UP = """
WITH given_up AS (
    SELECT delivery.id FROM webhook_endpoints endpoint
    JOIN webhook_deliveries delivery ON delivery.endpoint_id = endpoint.id
    JOIN outbox event ON event.cursor = delivery.event_cursor
    WHERE endpoint.breaker = 'disabled' AND endpoint.disabled_at < $1
      AND delivery.state = 'pending' AND event.created_at < $1
    ORDER BY delivery.id LIMIT $2 FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries delivery SET state = 'failed', last_outcome = 'endpoint disabled'
FROM given_up WHERE delivery.id = given_up.id
"""

_PENDING = """
EXISTS (SELECT FROM webhook_endpoints endpoint
        JOIN webhook_deliveries delivery
          ON delivery.endpoint_id = endpoint.id AND delivery.event_cursor = event.cursor
        WHERE endpoint.partner_environment_id = event.partner_environment_id
          AND delivery.state = 'pending')
"""

_HOLD = f"""
SELECT event.id FROM outbox event
WHERE event.body IS NOT NULL AND event.created_at < $1 AND event.cursor IS NOT NULL
  AND NOT {_PENDING}
ORDER BY event.created_at LIMIT $2 FOR UPDATE OF event SKIP LOCKED
"""

# The condition is checked again in a statement of its own, because a replay may have come between the first
# check and the lock.
_PRUNE = f"""
WITH pruned AS (
    UPDATE outbox event SET body = NULL WHERE id = ANY($1::uuid[]) AND NOT {_PENDING}
    RETURNING event.partner_environment_id, event.cursor
), replies AS (
    UPDATE webhook_deliveries delivery SET last_body = NULL
    FROM pruned JOIN webhook_endpoints endpoint USING (partner_environment_id)
    WHERE delivery.endpoint_id = endpoint.id AND delivery.event_cursor = pruned.cursor
      AND delivery.last_body IS NOT NULL
)
SELECT count(*) FROM pruned
"""

# Every delivery, also one without a reply yet, whose outcome may come in a moment.
_FORGET_REPLIES = """
WITH held AS (
    SELECT delivery.id FROM outbox event
    JOIN webhook_endpoints endpoint USING (partner_environment_id)
    JOIN webhook_deliveries delivery
      ON delivery.endpoint_id = endpoint.id AND delivery.event_cursor = event.cursor
    WHERE event.partner_environment_id = $1 AND event.subject = ANY($2::text[])
    ORDER BY delivery.id FOR UPDATE OF delivery
)
UPDATE webhook_deliveries delivery SET last_body = ''::bytea FROM held WHERE delivery.id = held.id
"""


async def prune_batch(tx: Connection, before: datetime, limit: int = BATCH) -> int:
    """Drop the payloads of at most `limit` events from before that moment; how many, in the caller's
    transaction."""
    await tx.execute(_GIVE_UP, before, limit)
    held = [row["id"] for row in await tx.fetch(_HOLD, before, limit)]
    if not held:
        return 0
    pruned: int = await tx.fetchval(_PRUNE, held)
    return pruned


async def forget_replies(
    tx: Connection, partner_environment_id: int, subjects: Sequence[str]
) -> None:
    """Keep nothing of what receivers answered, and will answer, to deliveries that there are of these
    subjects' events: a reply may repeat what was sent."""
    await tx.execute(_FORGET_REPLIES, partner_environment_id, list(subjects))


def pruning_loop(database: Database, clock: Clock, age: timedelta) -> Loop:
    """Drops payloads older than `age`; any number of workers may run it at once."""

    async def step() -> bool:
        async with database.transaction() as tx:
            return await prune_batch(tx, clock.now() - age) == BATCH

    return Loop("prune payloads", step, _POLL_EVERY_S)
