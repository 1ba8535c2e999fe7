"""Reading once what many ask for at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    """A reading that is never older than the question.

    Who asks while a reading is under way shares the next one with everybody else who does, so that any
    number of askers cost one reading at a time.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._current: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What a reading that began after this call gives. Raises what it raises."""
        if self._current is None:
            self._current = self._started(after=None)
            reading = self._current
        else:
            if self._next is None:
                self._next = self._started(after=self._current)
            reading = self._next
        # A caller that is cancelled must not cancel the work that others wait for.
        return await asyncio.shield(reading)

    def _started(self, after: "asyncio.Task[T] | None") -> "asyncio.Task[T]":
        # The work serves every caller, so it must not run in the context, and so the share, of the first.
        task = asyncio.create_task(self._run(after), context=Context())
        task.add_done_callback(_retrieved)
        return task

    async def _run(self, after: "asyncio.Task[T] | None") -> T:
        if after is not None:
            await asyncio.wait([after])
            self._current, self._next = self._next, None
        try:
            return await self._read()
        finally:
            if self._next is None:
                self._current = None


def _retrieved(task: "asyncio.Task[T]") -> None:
    # All callers may have been cancelled; reading the error here keeps asyncio from reporting it as lost.
    if not task.cancelled():
        task.exception()
