"""A step repeated until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from proof.core.errors import OtherSideError

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class Loop:
    """Runs `step` when woken, and unasked every `idle_s` seconds; at once again if it returns True.

    A step that raises is logged and tried again after a pause that doubles up to five seconds: an
    outage of the database, or a fault in one step, ends no loop.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], idle_s: float) -> None:
        self._name = name
        self._step = step
        self._idle_s = idle_s
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()

    def wake(self) -> None:
        """There may be work; said during a step, it brings another."""
        self._woken.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._stopped.set()
        self._woken.set()

    async def run(self) -> None:
        """Repeat the step until `stop`."""
        pause_s = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                again = await self._step()
            except Exception as error:  # noqa: BLE001 - a loop outlives any fault; it is logged
                self._report(error, pause_s)
                await _wait(self._stopped, pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            if not again and not self._stopped.is_set():
                await _wait(self._woken, self._idle_s)

    def _report(self, error: Exception, pause_s: float) -> None:
        if isinstance(error, OtherSideError):
            _log.warning("step failed", step=self._name, error=error.message, retry_in_s=pause_s)
        else:
            _log.exception("step failed", step=self._name, retry_in_s=pause_s)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
