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

from proof.core.errors import BusyError, DatabaseUnavailableError, UnavailableError
from proof.db.outages import outage
from proof.db.pool import Database
from proof.db.types import Connection

_log = structlog.get_logger()


_CLOSE_S = 5.0


class CommitRequest(Protocol):
    """Something to be committed; `done` is answered once it is durable."""

    @property
    def done(self) -> "asyncio.Future[Any]": ...


Request = TypeVar("Request", bound=CommitRequest)

Commit = Callable[[Connection, list[Request]], Awaitable[None]]


def _each_counts_once(_request: object) -> int:
    return 1


class Lanes(Generic[Request]):
    """A queue, and connections that commit it. `start` before use, `close` finishes what was accepted."""

    def __init__(
        self,
        name: str,
        database: Database,
        connections: int,
        commit: Commit[Request],
        most: int,
        size: Callable[[Request], int] = _each_counts_once,
    ) -> None:
        """`commit` makes a batch durable and then answers its requests; when it raises, what it did not
        answer is not written, or may be written again. `name` is what the log calls it. A batch is of size
        `most` in all, or of one request that is larger."""
        self._name = name
        self._database = database
        self._connections = connections
        self._commit = commit
        self._most = most
        self._size = size
        self._queue: deque[Request] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._connections)]

    def put(self, request: Request) -> None:
        """Have it committed. What waits for `done` gets DatabaseUnavailableError when nothing was written
        or nobody knows, BusyError when others hold what it needs, and whatever else `commit` raised of this
        request alone."""
        self._queue.append(request)
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
            except Exception as error:  # noqa: BLE001 - handed to those who wait, and logged
                self._fail(batch, error)
            else:
                await self._settle(connection, batch)
        if connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=_CLOSE_S)

    async def _settle(self, connection: Connection, batch: list[Request]) -> None:
        """Commit the batch; when a request of it breaks the commit, each alone, so that only that one
        fails."""
        try:
            await self._commit(connection, batch)
        except Exception as error:  # noqa: BLE001 - handed to those who wait, and logged
            stated = outage(error, connection)
            if stated is not None or len(batch) == 1:
                self._fail(batch, stated or error)
                return
            for request in batch:
                if not request.done.done():
                    await self._settle(connection, [request])

    def _fail(self, batch: list[Request], error: Exception) -> None:
        if isinstance(error, UnavailableError):
            _log.warning(f"{self._name}_failed", error=error.message, batch=len(batch))
            if not isinstance(error, BusyError):
                error = DatabaseUnavailableError("the database did not confirm; send it again")
        else:
            _log.error(f"{self._name}_broken", batch=len(batch), exc_info=error)
        for request in batch:
            # Whoever waits may have hung up, and part of the batch may be done.
            if not request.done.done():
                request.done.set_exception(error)

    async def _take(self) -> list[Request]:
        while not self._queue and not self._closing:
            self._arrived.clear()
            await self._arrived.wait()
        batch: list[Request] = []
        size = 0
        while self._queue and (not batch or size + self._size(self._queue[0]) <= self._most):
            batch.append(self._queue.popleft())
            size += self._size(batch[-1])
        return batch
