"""Group commit: what waits while a commit runs shares the next one.

No delay is added; the batch forms by itself. Each lane has a connection of its own, so that one inserts
while another waits for the disk.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
import structlog

from proof.core.errors import DatabaseUnavailableError, UnavailableError
from proof.db.outages import outage
from proof.db.pool import Database
from proof.db.types import Connection

_log = structlog.get_logger()


_CLOSE_S = 5.0


class CommitRequest(Protocol):
    """Something to be committed; `done` is answered once it is durable."""

    @property
    def done(self) -> "asyncio.Future[Any]": ...


Item = TypeVar("Item", bound=CommitRequest)

Commit = Callable[[Connection, list[Item]], Awaitable[None]]


def _one(_item: object) -> int:
    return 1


class Lanes(Generic[Item]):
    """A queue, and connections that commit it. `start` before use, `close` finishes what was accepted."""

    def __init__(
        self,
        name: str,
        database: Database,
        connections: int,
        commit: Commit[Item],
        most: int,
        size: Callable[[Item], int] = _one,
    ) -> None:
        """`commit` makes a batch durable and then answers its items; `name` is what the log calls it. A
        batch is of size `most` in all, or of one item that is larger."""
        self._name = name
        self._database = database
        self._connections = connections
        self._commit = commit
        self._most = most
        self._size = size
        self._queue: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._connections)]

    def put(self, item: Item) -> None:
        """Have it committed. What waits for `done` gets DatabaseUnavailableError when nothing was written
        or nobody knows, and whatever else `commit` raised."""
        self._queue.append(item)
        self._arrived.set()

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        while batch := await self._take():
            try:
                if connection is None or connection.is_closed():
                    connection = await self._database.dedicated()
                await self._commit(connection, batch)
            except Exception as error:  # noqa: BLE001 - handed to those who wait, and logged
                self._report(batch, error, connection)
        if connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=_CLOSE_S)

    def _report(
        self,
        batch: list[Item],
        error: Exception,
        connection: "asyncpg.Connection[asyncpg.Record] | None",
    ) -> None:
        stated = error if connection is None else outage(error, connection)
        if isinstance(stated, UnavailableError):
            _log.warning(f"{self._name}_failed", error=stated.message, batch=len(batch))
            error = DatabaseUnavailableError("the database did not confirm; send it again")
        else:
            _log.error(f"{self._name}_broken", batch=len(batch), exc_info=error)
        _fail(batch, error)

    async def _take(self) -> list[Item]:
        while not self._queue and not self._closing:
            self._arrived.clear()
            await self._arrived.wait()
        batch: list[Item] = []
        size = 0
        while self._queue and (not batch or size + self._size(self._queue[0]) <= self._most):
            batch.append(self._queue.popleft())
            size += self._size(batch[-1])
        return batch


def _fail(batch: list[Item], error: Exception) -> None:
    for item in batch:
        # Whoever waits may have hung up, and part of the batch may be done.
        if not item.done.done():
            item.done.set_exception(error)
