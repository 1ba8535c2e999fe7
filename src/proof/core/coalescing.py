"""Reading once what many ask for at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    """A reading that is never older than the question.

    Everybody who asks before a reading begins shares it, its failure too, and who asks while one is under
    way shares the next. So any number of askers cost one reading at a time, and when readings hang nobody
    waits for more than two. One begins at most every `every_s`.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], every_s: float = 0.0) -> None:
        self._read = read
        self._every_s = every_s
        self._begun_at = float("-inf")
        self._latest: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What a reading that begins after this call gives. Raises what it raises."""
        if self._next is None:
            # It serves every caller, so it must not run in the context, and so the share, of the first.
            self._next = asyncio.create_task(self._run(self._latest), context=Context())
            self._next.add_done_callback(_retrieved)
        # A caller that is cancelled must not cancel the work that others wait for.
        return await asyncio.shield(self._next)

    async def _run(self, before: "asyncio.Task[T] | None") -> T:
        if before is not None:
            await asyncio.wait([before])
        await asyncio.sleep(self._begun_at + self._every_s - time.monotonic())
        self._latest, self._next = self._next, None
        self._begun_at = time.monotonic()
        return await self._read()


def _retrieved(task: "asyncio.Task[T]") -> None:
    # All callers may have been cancelled; reading the error here keeps asyncio from reporting it as lost.
    if not task.cancelled():
        task.exception()
