"""A step repeated until it is told to stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from proof.core.errors import OtherSideError, ProofError, UnavailableError

SAFETY_S: Final = 5.0
"""How long work waits at most that nobody told of, where loops are woken by what causes it."""

HEARD_S: Final = 15.0
"""The same, where whoever tells is known to be heard: what is left are processes that were killed in the
midst of their work, which others then take up. Work that is due sooner than this is told of."""

_SPREAD_FROM = 0.8
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# Every loop works again within two seconds of the database's return.
_LONGEST_OUTAGE_PAUSE_S = 0.5

_log = structlog.get_logger(__name__)
# Not the generator that all of a process share: whoever seeds that one means to repeat what they draw.
_chance = random.Random()  # noqa: S311 - no secret


Again = bool | float
"""When a step has work again, as far as it knows: True is at once, a number of seconds at a known time, and
False when somebody says so."""

Step = Callable[[], Awaitable[Again]]


class Loop:
    """Runs `step` when woken, when the step said that it has work again, and unasked after `idle_s` seconds
    at most.

    `woken_by` names what wakes it, for whoever hears of that (`proof.events.Listener`). What is said may
    be lost, so `idle_s` bounds how late work is found then. It is spread, or loops that were begun together
    would ask the database together, each over a connection of its own. A loop with SAFETY_S waits for
    HEARD_S while it hears what wakes it.

    A step that raises is logged and tried again after a pause that doubles, up to five seconds, or half
    a one while the database is away: neither an outage nor a fault in one step ends a loop. An outage is
    told when it begins and when it is over.
    """

    def __init__(
        self, name: str, step: Step, idle_s: float, woken_by: Collection[str] = ()
    ) -> None:
        self._name = name
        self.woken_by = frozenset(woken_by)
        self._step = step
        self._idle_s = idle_s
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()
        self._away = False
        self._hears = False
        self._later: asyncio.TimerHandle | None = None
        self.failing: str | None = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self._name

    @property
    def longest_wait_s(self) -> float:
        """How long it waits at most for somebody to wake it."""
        return HEARD_S if self._hears and self._idle_s == SAFETY_S else self._idle_s

    def hear(self, certainly: bool) -> None:
        """Whether all that is said to wake it is known to reach this process."""
        self._hears = certainly

    def wake(self) -> None:
        """There may be work; said during a step, it brings another."""
        self._woken.set()

    def wake_within(self, most_s: float) -> None:
        """There is work that others may join for so long; said again before then, it changes nothing."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(most_s, self._wake_at_last)

    def _wake_at_last(self) -> None:
        self._later = None
        self.wake()

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
            if again is not True and not self._stopped.is_set():
                idle_s = self.longest_wait_s * _chance.uniform(_SPREAD_FROM, 1)
                await _wait(self._woken, idle_s if again is False else min(again, idle_s))

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


def when_due(due_in: Callable[[], Awaitable[float | None]], step: Step, pause_s: float) -> Step:
    """A step that reads when there is work before it does any.

    `due_in` answers the seconds until the next work, zero or fewer for work that is due, None for none.
    After work the time is read again `pause_s` later, so that what is due but taken by others makes no
    busy loop.
    """

    async def look() -> Again:
        wait_s = await due_in()
        if wait_s is None:
            return False
        if wait_s > 0:
            return wait_s
        return await step() or pause_s

    return look


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
