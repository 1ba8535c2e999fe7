"""The queue of records that are not stamped yet.

A trigger fills it in the transaction that writes a record, so no path can forget one. It is emptied by
one stamper at a time, in the transaction that stamps.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from proof.db import Connection
from proof.partners.types import Environment

RECORDED = "proof_ramp_recorded"
"""What PostgreSQL notifies when a record is written while the queue is empty."""

# Each is looked up by its key: the queue's size is never what was last counted, and a plan made for
# a larger one reads all transactions instead.
_WAITING = """
SELECT queued.place, queued.transaction_id, queued.sequence, kept.sha256,
    transaction.partner_environment_id, owner.environment
FROM (SELECT ctid AS place, transaction_id, sequence FROM ramp_unstamped LIMIT $1) queued
CROSS JOIN LATERAL (SELECT sha256(record) AS sha256 FROM ramp_records
    WHERE transaction_id = queued.transaction_id AND sequence = queued.sequence LIMIT 1) kept
CROSS JOIN LATERAL (SELECT partner_environment_id FROM ramp_transactions
    WHERE id = queued.transaction_id LIMIT 1) transaction
JOIN partner_environments owner ON owner.id = transaction.partner_environment_id
"""


_BACKLOG = """
SELECT count(*) AS records,
    coalesce(greatest(extract(epoch FROM now() - min(queued_at)), 0), 0)::int AS age_s
FROM ramp_unstamped
"""


class Backlog(NamedTuple):
    """How many records wait, and for how long the oldest has, by the database's clock; 0 without any."""

    records: int
    age_s: int


class UnstampedRecord(NamedTuple):
    """A record by its hash; `place` is where it stands in the queue."""

    place: tuple[int, int]
    transaction_id: UUID
    sequence: int
    sha256: bytes
    partner_environment_id: int
    environment: Environment


async def any_waiting(connection: Connection) -> bool:
    """Whether the queue holds a record."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM ramp_unstamped)")
    return found


async def backlog(connection: Connection) -> Backlog:
    """What waits, of both environments."""
    [row] = await connection.fetch(_BACKLOG)
    return Backlog(**dict(row))


async def waiting(connection: Connection, limit: int) -> list[UnstampedRecord]:
    """Records of the queue, in no order."""
    return [
        UnstampedRecord(**dict(row) | {"environment": Environment(row["environment"])})
        for row in await connection.fetch(_WAITING, limit)
    ]


async def remove(tx: Connection, records: Sequence[UnstampedRecord]) -> None:
    """Take these out of the queue. Whoever calls has read them under a lock that keeps other stampers out:
    places are used again."""
    await tx.execute(
        "DELETE FROM ramp_unstamped WHERE ctid = ANY($1::tid[])", [each.place for each in records]
    )
