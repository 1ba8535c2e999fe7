"""A pool of connections and the unit of work over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import asyncpg

from proof.db.outages import CANNOT_CONNECT, stated_outages, unreached
from proof.db.session import OF_COMMANDS, Patience, connect_arguments, prepare
from proof.db.shares import Bounds, Turns, current_share
from proof.db.types import Connection

# How long work waits for a connection of the pool. Requests wait before it, in `shares`.
_ACQUIRE_S = 10.0
_RELEASE_S = 5.0
# An idle connection costs PostgreSQL some megabytes, and making it anew some milliseconds.
_KEPT_S = 60.0


async def _leave_as_is(_connection: object) -> None:
    """Nothing of ours changes a session (locks and settings are a transaction's), so giving a connection
    back costs no round trip."""


class Database:
    """A PostgreSQL server, reached as the application role."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        arguments: dict[str, Any],
        patience: Patience = OF_COMMANDS,
        turns: Turns | None = None,
    ) -> None:
        """`turns` shares the pool out among those whom requests work for."""
        self._pool = pool
        self._arguments = arguments
        self._patience = patience
        self._turns = turns

    @classmethod
    async def open(
        cls,
        arguments: dict[str, Any],
        max_connections: int = 10,
        patience: Patience = OF_COMMANDS,
        shares: Bounds | None = None,
    ) -> Self:
        """Connect with asyncpg's connection arguments (`dsn`, or `host`, `user`, …).

        Raises DatabaseUnavailableError when the server cannot be reached.
        """
        arguments = connect_arguments(arguments, patience)

        async def ready(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
            await prepare(connection, patience)

        try:
            pool = await asyncpg.create_pool(
                **arguments,
                min_size=1,
                max_size=max_connections,
                max_inactive_connection_lifetime=_KEPT_S,
                init=ready,
                reset=_leave_as_is,
            )
        except CANNOT_CONNECT as error:
            raise unreached(error) from None
        return cls(pool, arguments, patience, None if shares is None else Turns(shares))

    async def close(self) -> None:
        await self._pool.close()

    async def dedicated(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection outside the pool, for a holder that keeps it: a lane or a listener."""
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                **self._arguments
            )
            return await prepare(connection, self._patience)
        except CANNOT_CONNECT as error:
            raise unreached(error) from None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection, each statement its own transaction.

        Raises UnavailableError for what PostgreSQL did; what the body itself raises stays as it is.
        BusyError when all connections of the share it is taken for are in use for too long.
        """
        share = current_share()
        if share is None or self._turns is None:
            async with self._acquired() as connection:
                yield connection
        else:
            async with self._turns.turn(share), self._acquired() as connection:
                yield connection

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        try:
            connection = await self._pool.acquire(timeout=_ACQUIRE_S)
        except CANNOT_CONNECT as error:
            raise unreached(error) from error
        try:
            with stated_outages(connection):
                yield connection
        finally:
            # The body has succeeded, so a connection that cannot be given back is no error of it.
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._pool.release(connection, timeout=_RELEASE_S)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A pooled connection that sees the database as it is now until the end, and changes nothing.

        It locks nothing that anybody waits for, so it may be idle while what was read is worked on.
        """
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A pooled connection in one transaction: all of it is durable at the end, or none."""
        async with self.connection() as connection:
            tx = connection.transaction()
            await tx.start()
            try:
                yield connection
            except BaseException:
                # A server that is gone has rolled back by itself; the body's own error says more.
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await tx.rollback()
                raise
            await tx.commit()
