"""The outbox: events are rows of the transaction that caused them, and get their order afterwards."""

from collections.abc import Callable, Iterable, Sequence

from proof.db import Connection
from proof.events.types import Event, RelayedEvent

# What PostgreSQL notifies: of the commit of events, and of their getting cursors. Notices of one
# transaction come after its commit, or never.
PUBLISHED = "proof_published"
RELAYED = "proof_relayed"

# A notifying commit waits for the one before it, so notices cost publishers their share of group commit
# (measured on two cores: 4,100 commits a second instead of 9,300 from sixteen writers). Nothing on the
# hot path publishes, and who has many events publishes them at once.
_PUBLISH = """
INSERT INTO outbox (id, partner_environment_id, type, version, subject, body)
SELECT id, owner, type, version, subject, body
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::smallint[], $5::text[], $6::bytea[])
     WITH ORDINALITY AS event (id, owner, type, version, subject, body, position),
     (SELECT pg_notify($7, '')) AS notice
ORDER BY position
"""

# Rows commit out of order, so only one relay at a time may hand out cursors.
_RELAY_LOCK = 0x5245_4C41_59

# The last sequence of an object is one probe of its index: there is no counter to lock. A sequence given
# in a transaction that is undone was never seen, so an object's events have no gaps.
_RELAY = """
WITH batch AS (
    SELECT id, position, partner_environment_id, subject
    FROM outbox WHERE cursor IS NULL ORDER BY position LIMIT $1
), last AS (
    SELECT partner_environment_id, subject, coalesce(
        (SELECT sequence FROM outbox earlier
         WHERE earlier.partner_environment_id = object.partner_environment_id
           AND earlier.subject = object.subject AND earlier.sequence IS NOT NULL
         ORDER BY sequence DESC LIMIT 1), 0) AS sequence
    FROM (SELECT DISTINCT partner_environment_id, subject FROM batch) object
), ordered AS (
    SELECT batch.id, last.sequence + row_number() OVER (
        PARTITION BY partner_environment_id, subject ORDER BY batch.position) AS sequence
    FROM batch JOIN last USING (partner_environment_id, subject) ORDER BY batch.position OFFSET 0
), numbered AS (
    SELECT id, sequence, nextval('outbox_cursor') AS cursor FROM ordered
)
UPDATE outbox SET cursor = numbered.cursor, sequence = numbered.sequence
FROM numbered WHERE outbox.id = numbered.id
RETURNING outbox.cursor, outbox.sequence, outbox.id, partner_environment_id, type, version, subject, body
"""


_HOLD_BODIES = """
SELECT id, body FROM outbox
WHERE partner_environment_id = $1 AND subject = ANY($2::text[]) AND body IS NOT NULL
ORDER BY position FOR NO KEY UPDATE
"""

_REPLACE_BODIES = """
UPDATE outbox SET body = replaced.body FROM unnest($1::uuid[], $2::bytea[]) AS replaced (id, body)
WHERE outbox.id = replaced.id
"""


async def publish(tx: Connection, events: Iterable[Event]) -> None:
    """Write events in the caller's transaction: they happen if and only if it commits.

    The commit notifies PUBLISHED, so that a relay polls at once.
    """
    rows = [(e.id, e.partner_environment_id, e.type, e.version, e.subject, e.body) for e in events]
    if rows:
        await tx.execute(_PUBLISH, *map(list, zip(*rows, strict=True)), PUBLISHED)


async def rewrite_bodies(
    tx: Connection,
    partner_environment_id: int,
    subjects: Sequence[str],
    rewritten: Callable[[bytes], bytes],
) -> None:
    """Put other bodies in the place of those kept of these subjects' events, in the caller's transaction:
    what was sent is sent, what is sent or read from then on is the new one."""
    rows = await tx.fetch(_HOLD_BODIES, partner_environment_id, list(subjects))
    bodies = [rewritten(row["body"]) for row in rows]
    await tx.execute(_REPLACE_BODIES, [row["id"] for row in rows], bodies)


async def waiting(connection: Connection) -> bool:
    """Whether there are events to relay."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM outbox WHERE cursor IS NULL)"
    )
    return found


async def relay(tx: Connection, limit: int) -> list[RelayedEvent]:
    """Give committed events their cursors and sequences, in the caller's transaction, oldest first.

    A sequence counts the events of one object of one partner environment from 1, without gaps.

    What the caller does with them commits together with the cursors, so nothing is handed on twice
    or lost. The commit notifies RELAYED. Returns nothing while another relay is at work.
    """
    if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _RELAY_LOCK):
        return []
    rows = await tx.fetch(_RELAY, limit)
    if rows:
        await tx.execute("SELECT pg_notify($1, '')", RELAYED)
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
            row["sequence"],
        )
        for row in rows
    ]
    return sorted(relayed, key=lambda event: event.cursor)
