"""A pool of connections and the unit of work over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from proof.core.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    # asyncpg's classes are generic for type checkers only.
    Connection = asyncpg.Connection | PoolConnectionProxy

# What a lost, stopping, restarting or overfull server raises; the caller may try again.
UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


async def _leave_as_is(_connection: object) -> None:
    """Nothing of ours changes a session (locks and settings are a transaction's), so giving a connection
    back costs no round trip."""


class Database:
    """A PostgreSQL server, reached as the application role."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", arguments: dict[str, Any]) -> None:
        self._pool = pool
        self._arguments = arguments

    @classmethod
    async def open(cls, arguments: dict[str, Any], max_connections: int = 10) -> Self:
        """Connect with asyncpg's connection arguments (`dsn`, or `host`, `user`, …).

        Raises DatabaseUnavailableError when the server cannot be reached.
        """
        try:
            pool = await asyncpg.create_pool(
                **arguments,
                min_size=1,
                max_size=max_connections,
                command_timeout=60,
                reset=_leave_as_is,
            )
        except UNAVAILABLE as error:
            raise DatabaseUnavailableError(f"PostgreSQL cannot be reached: {error}") from None
        return cls(pool, arguments)

    async def close(self) -> None:
        await self._pool.close()

    async def dedicated(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection outside the pool, for a holder that keeps it: a lane or a listener."""
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                **self._arguments
            )
        except UNAVAILABLE as error:
            raise DatabaseUnavailableError(f"PostgreSQL cannot be reached: {error}") from None
        return connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection, each statement its own transaction."""
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except (*UNAVAILABLE, TimeoutError) as error:
            raise DatabaseUnavailableError(f"PostgreSQL did not answer: {error!r}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A pooled connection in one transaction: all of it is durable at the end, or none."""
        async with self.connection() as connection, connection.transaction():
            yield connection
