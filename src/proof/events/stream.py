"""Telling one process which objects have new events, in the order of cursors, soon after their commit.

The walk of one event: its commit wakes a relay, which gives it a cursor and notifies every process; each
reads what follows the cursor it has reached, once for all of its readers. A process that was not listening
cannot know what it missed, so it says that anything may have changed, and its readers read again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from proof.core.loop import SAFETY_S, Loop
from proof.db import Connection, Database
from proof.events.listening import Listener
from proof.events.outbox import RELAYED

# Subjects, or None: any may have changed.
Changed = Callable[[Collection[str] | None], Awaitable[None]]

_READ_AT_ONCE = 5_000

_HEAD = "SELECT coalesce(max(cursor), 0) FROM outbox"

_READ = """
SELECT cursor, subject FROM outbox WHERE cursor > $1 AND cursor <= $2 AND type = $3
ORDER BY cursor LIMIT $4
"""


class Stream:
    """Hands on the subjects of new events of one type; one a process, with one connection that listens."""

    def __init__(self, database: Database, event_type: str, changed: Changed) -> None:
        self._database = database
        self._type = event_type
        self._changed = changed
        self._cursor: int | None = None
        self._reading = Loop("event stream", self._read, SAFETY_S)
        self._listener = Listener(database, {RELAYED: self._reading.wake}, self._forget)

    async def run(self) -> None:
        """Read and hand on until cancelled. What `changed` could not take is handed on again."""
        await asyncio.gather(self._listener.run(), self._reading.run())

    def _forget(self) -> None:
        self._cursor = None
        self._reading.wake()

    async def _read(self) -> bool:
        before = self._cursor
        async with self._database.connection() as connection:
            head: int = await connection.fetchval(_HEAD)
            # A head behind us is that of a database put back to an earlier state.
            if before is None or head < before:
                subjects, reached = None, head
            else:
                subjects, reached = await self._between(connection, before, head)
        if subjects is None or subjects:
            await self._changed(subjects)
        if self._cursor == before:
            self._cursor = reached
        return reached < head

    async def _between(
        self, connection: Connection, after: int, head: int
    ) -> tuple[Collection[str], int]:
        """The subjects of events in that range, and how far was read."""
        if after == head:
            return (), head
        rows = await connection.fetch(_READ, after, head, self._type, _READ_AT_ONCE)
        reached = head if len(rows) < _READ_AT_ONCE else rows[-1]["cursor"]
        return {row["subject"] for row in rows}, reached
