"""Writing the sessions that are opened at the same time together.

Those that wait while others are written share the next statement and its commit; no delay is added. What is
answered as opened is durable.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from proof.core.clock import Clock
from proof.core.errors import UnavailableError
from proof.db import Database
from proof.db.shares import working_for
from proof.ramp.sessions import queries
from proof.ramp.sessions.queries import NewSession, WriteResult

MAX_BATCH = 100
# While one waits for the disk, the other gathers.
_LANES = 2


@dataclass(frozen=True, slots=True)
class _Item:
    new: NewSession = field(repr=False)
    done: "asyncio.Future[WriteResult]" = field(repr=False)
    # Of the same batch, with the same key: to the database one transaction is one holder of a lock.
    same_key: "list[_Item]" = field(default_factory=list, repr=False)


class Opener:
    """Writes the sessions of one process. There is nothing to start or close: a lane is there as long as
    somebody waits."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._queue: deque[_Item] = deque()
        self._lanes: set[asyncio.Task[None]] = set()

    async def write(self, new: NewSession) -> WriteResult:
        """Write the session; it is durable when this says that it was opened.

        Raises DatabaseUnavailableError when nothing was written or nobody knows.
        """
        item = _Item(new, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        if len(self._lanes) < _LANES:
            # It writes everybody's sessions, so it is nobody's share.
            with working_for(None):
                lane = asyncio.create_task(self._run())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        return await item.done

    async def _run(self) -> None:
        while batch := self._take():
            try:
                written = await self._written(batch)
            except UnavailableError as error:
                _fail(batch, error)
            except Exception as error:  # noqa: BLE001 - handed to who waits
                await self._one_by_one(batch, error)
            else:
                for item, request in zip(batch, written, strict=True):
                    _resolve(item, request)

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        by_key: dict[int, _Item] = {}
        while self._queue and len(batch) < MAX_BATCH:
            item = self._queue.popleft()
            key = item.new.key
            if key is not None and (first := by_key.setdefault(key.lock, item)) is not item:
                first.same_key.append(item)
            else:
                batch.append(item)
        return batch

    async def _written(self, batch: list[_Item]) -> list[WriteResult]:
        async with self._database.connection() as connection:
            return await queries.insert_sessions(
                connection, self._clock.now(), [item.new for item in batch]
            )

    async def _one_by_one(self, batch: list[_Item], error: Exception) -> None:
        """The statement failed and wrote nothing: whose session broke it, it alone fails."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for item in batch:
            try:
                (written,) = await self._written([item])
            except Exception as own:  # noqa: BLE001 - handed to who waits
                _fail([item], own)
            else:
                _resolve(item, written)


def _resolve(item: _Item, written: WriteResult) -> None:
    # Whoever asked may have hung up.
    if not item.done.done():
        item.done.set_result(written)
    for other in item.same_key:
        _resolve(other, WriteResult(written.free, opened=False))


def _fail(batch: list[_Item], error: Exception) -> None:
    for item in batch:
        if not item.done.done():
            item.done.set_exception(error)
        _fail(item.same_key, error)
