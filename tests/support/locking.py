"""In which order a statement takes its locks."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import asyncpg

from proof.db import Connection

# It ends a wait that should not have begun; a lock that is free is had without waiting, however busy the
# machine is.
_SHORT = "SET LOCAL lock_timeout = '200ms'"

_WAITED_FOR = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
"""

IN_STORED_ORDER = """
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_mergejoin = off
"""
"""For the transaction of `act`: a table's rows are met as they were stored, and no index sorts them by the
way. In a table of a few rows the planner would choose it."""


async def waits(act: Awaitable[Any], holder: Connection) -> "asyncio.Task[Any]":
    """`act`, begun, once it waits for a lock that `holder` has."""
    task = asyncio.ensure_future(act)
    async with asyncio.timeout(120):
        while not await holder.fetchval(_WAITED_FOR):
            if task.done():
                task.result()
                raise AssertionError("it waited for nothing")
            await asyncio.sleep(0.005)
    return task


async def takes_in_order(
    act: Awaitable[Any], holder: Connection, first: str, second: str, *values: Any
) -> None:
    """`act` takes what the statement `first` locks before what `second` does. Two that take both in this
    order never wait for each other in a ring.

    `holder` has the first; while `act` waits for it, the second is free. Then `act` may finish.
    """
    transaction = holder.transaction()
    await transaction.start()
    task: asyncio.Task[Any] | None = None
    try:
        await holder.execute(first, *values)
        task = await waits(act, holder)
        await holder.execute(_SHORT)
        try:
            await holder.execute(second, *values)
        except asyncpg.LockNotAvailableError:
            raise AssertionError("the second was taken before the first") from None
    finally:
        await transaction.rollback()
        if task is not None:
            with suppress(asyncio.CancelledError):
                await task
