"""Crowds made into a steady flow: who comes before its turn waits a little."""

import asyncio
import time
from collections import deque
from collections.abc import Callable


class Pace:
    """`per_second` on average, `at_once` without waiting, and nobody waits longer than `longest_s`."""

    def __init__(
        self,
        per_second: float,
        at_once: float,
        longest_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._each_s = 1 / per_second
        self._early_s = at_once / per_second
        self._longest_s = longest_s
        self._now = now
        self._next = float("-inf")

    def wait_s(self, cost: float = 1.0) -> float | None:
        """Count one, or what is dearer or cheaper as that many, and say how long it waits for its turn.

        None, and nothing is counted, when that is too long."""
        now = self._now()
        after = max(self._next, now - self._early_s) + cost * self._each_s
        # A wait below a microsecond is a rounding error.
        wait_s = max(0.0, round(after - now, 6))
        if wait_s > self._longest_s:
            return None
        self._next = after
        return wait_s


class Turnstile:
    """Lets a few at a time go on in each turn of the event loop, whoever else it has to serve.

    Where hundreds become ready together a turn takes as long as all of them, and what needs several turns
    several times as long; where the processor has other work, many times that.
    """

    def __init__(self, each_turn: int) -> None:
        self._each_turn = each_turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for the next place, in the order of coming."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        if len(self._waiting) == 1:
            loop.call_soon(self._let_in)
        await place

    def _let_in(self) -> None:
        for _ in range(min(self._each_turn, len(self._waiting))):
            place = self._waiting.popleft()
            # A caller that was cancelled has left its place done.
            if not place.done():
                place.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._let_in)
