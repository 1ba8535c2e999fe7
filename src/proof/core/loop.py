"""A step repeated until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from proof.core.errors import OtherSideError, ProofError, UnavailableError

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# Every loop works again within two seconds of the database's return.
_LONGEST_OUTAGE_PAUSE_S = 0.5

_log = structlog.get_logger(__name__)


class Loop:
    """Runs `step` when woken, and unasked every `idle_s` seconds; at once again if it returns True.

    A step that raises is logged and tried again after a pause that doubles, up to five seconds, or half
    a one while the database is away: neither an outage nor a fault in one step ends a loop. An outage is
    told when it begins and when it is over.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], idle_s: float) -> None:
        self._name = name
        self._step = step
        self._idle_s = idle_s
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()
        self._away = False
        self.failing: str | None = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self._name

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
                away = isinstance(error, UnavailableError)
                pause_s = min(pause_s * 2, _LONGEST_OUTAGE_PAUSE_S if away else _LONGEST_PAUSE_S)
                continue
            self._report_success()
            pause_s = _FIRST_PAUSE_S
            if not again and not self._stopped.is_set():
                await _wait(self._woken, self._idle_s)

    def _report_success(self) -> None:
        self.failing = None
        if self._away:
            self._away = False
            _log.info("loop.recovered", step=self._name)

    def _report(self, error: Exception, pause_s: float) -> None:
        self.failing = error.message if isinstance(error, ProofError) else type(error).__name__
        if isinstance(error, UnavailableError):
            if not self._away:
                _log.warning("loop.waiting", step=self._name, error=error.message)
            self._away = True
        elif isinstance(error, OtherSideError):
            _log.warning("loop.failed", step=self._name, error=error.message, retry_in_s=pause_s)
        else:
            _log.exception("loop.failed", step=self._name, retry_in_s=pause_s)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
