"""Reading the events of one partner environment in the order every reader sees."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from proof.db import Connection

# Proofs have some kilobytes each: a page of the largest ones must not fill the memory of a process.
PAGE_BYTES = 4 * 1024 * 1024

# A page ends with the event that reaches PAGE_BYTES, so it holds at least one and is never a page with
# a hole. The length of a body is known without reading it.
_PAGE = """
SELECT cursor, id, type, version, subject, sequence, created_at, body
FROM (
    SELECT *, sum(size) OVER (ORDER BY cursor) - size AS before
    FROM (
        SELECT *, coalesce(length(body), 0) AS size FROM outbox
        WHERE partner_environment_id = $1 AND starts_with(type, 'timestamp.') = $2 AND cursor > $3
        ORDER BY cursor LIMIT $4
    ) AS sized
) AS page
WHERE before < $5 ORDER BY cursor
"""


class Family(StrEnum):
    """Of which product events are: types beginning `timestamp.`, or all others."""

    RAMP = "ramp"
    TIMESTAMPS = "timestamps"


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event as read. `body` is None once it is no longer kept."""

    cursor: int
    id: UUID
    type: str
    version: int
    subject: str
    sequence: int
    created_at: datetime
    body: bytes | None


async def read_events(
    connection: Connection, partner_environment_id: int, family: Family, after: int, limit: int
) -> list[ReadEvent]:
    """The events that follow the cursor `after`, at most `limit` and about PAGE_BYTES of bodies.

    Cursors become visible in ascending order, because one relay at a time gives them and holds its
    lock until its commit: whoever goes on after the last cursor read misses nothing. An empty list is
    the end for now. Events not relayed yet are not among them.
    """
    stamped = family is Family.TIMESTAMPS
    rows = await connection.fetch(_PAGE, partner_environment_id, stamped, after, limit, PAGE_BYTES)
    return [ReadEvent(*row) for row in rows]
