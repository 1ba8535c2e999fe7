"""Databases that fail or hang, in the place of a real one that does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from proof.core.errors import DatabaseUnavailableError
from proof.db import Connection, Database


class FaultyDatabase(Database):
    """A database that is away when `fails` says so, before (False) or after (True) it acted."""

    def __init__(self, real: Database, fails: Callable[[], bool | None]) -> None:
        super().__init__(real._pool, real._arguments)
        self._fails = fails

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        fails = self._fails()
        if fails is False:
            raise DatabaseUnavailableError("away")
        async with super().connection() as connection:
            yield connection
        if fails:
            raise DatabaseUnavailableError("away after it acted")


class LoggedDatabase(Database):
    """A database that keeps in `statements` what it was asked, by whoever has this object alone."""

    def __init__(self, real: Database) -> None:
        super().__init__(real._pool, real._arguments)
        self.statements: list[str] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        def note(record: Any) -> None:
            self.statements.append(record.query)

        async with super().connection() as connection:
            connection.add_query_logger(note)
            try:
                yield connection
            finally:
                connection.remove_query_logger(note)


class HangingDatabase(FaultyDatabase):
    """A database that answers nobody until `answered` is set, and then that it is away.

    `asked` is set by who asks first; `tries` is how many asked.
    """

    def __init__(self, real: Database) -> None:
        super().__init__(real, lambda: False)
        self.asked, self.answered, self.tries = asyncio.Event(), asyncio.Event(), 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self.tries += 1
        self.asked.set()
        await self.answered.wait()
        async with super().connection() as connection:
            yield connection
