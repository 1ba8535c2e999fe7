"""The outbox: events are rows of the transaction that caused them, and get their order afterwards."""

from collections.abc import Iterable

from proof.db import Connection
from proof.events.types import Event, RelayedEvent

# Rows commit out of order, so only one relay at a time may hand out cursors.
_RELAY_LOCK = 0x5245_4C41_59

_RELAY = """
WITH batch AS (
    SELECT id, position FROM outbox WHERE cursor IS NULL ORDER BY position LIMIT $1
), numbered AS (
    SELECT id, nextval('outbox_cursor') AS cursor FROM (SELECT id FROM batch ORDER BY position) b
)
UPDATE outbox SET cursor = numbered.cursor FROM numbered WHERE outbox.id = numbered.id
RETURNING outbox.cursor, outbox.id, partner_environment_id, type, version, subject, body
"""


async def publish(tx: Connection, events: Iterable[Event]) -> None:
    """Write events in the caller's transaction: they happen if and only if it commits."""
    await tx.executemany(
        "INSERT INTO outbox (id, partner_environment_id, type, version, subject, body)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [(e.id, e.partner_environment_id, e.type, e.version, e.subject, e.body) for e in events],
    )


async def relay(tx: Connection, limit: int) -> list[RelayedEvent]:
    """Give committed events their cursors, in the caller's transaction, oldest first.

    What the caller does with them commits together with the cursors, so nothing is handed on twice
    or lost. Returns nothing while another relay is at work.
    """
    if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _RELAY_LOCK):
        return []
    rows = await tx.fetch(_RELAY, limit)
    relayed = [
        RelayedEvent(
            row["cursor"],
            Event(
                row["partner_environment_id"],
                row["type"],
                row["subject"],
                row["body"],
                row["version"],
                row["id"],
            ),
        )
        for row in rows
    ]
    return sorted(relayed, key=lambda event: event.cursor)
