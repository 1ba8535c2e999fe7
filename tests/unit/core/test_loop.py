"""A loop outlives its step's failures and stops when told."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from proof.core import loop as loop_module
from proof.core.errors import BusyError, DatabaseUnavailableError
from proof.core.loop import HEARD_S, SAFETY_S, Again, Loop, when_due

# Whoever waited this long was not woken.
LONG_S = 600.0


def drive(step: Callable[[Loop], Awaitable[Again]], idle_s: float) -> None:
    async def run() -> None:
        async def bound() -> Again:
            return await step(loop)

        loop = Loop("step", bound, idle_s)
        async with asyncio.timeout(120):
            await loop.run()

    asyncio.run(run())


def test_pauses_draw_nothing_from_the_generator_that_a_process_shares() -> None:
    """Property tests repeat what they draw, beside a server whose loops go on in another thread."""
    before, rounds = random.getstate(), 0

    async def step(loop: Loop) -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            loop.stop()
        return False

    drive(step, idle_s=0.001)
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (DatabaseUnavailableError("away"), ["loop.waiting", "loop.recovered"]),
        (RuntimeError("a fault"), ["loop.failed", "loop.failed"]),
    ],
)
def test_a_step_that_raises_is_tried_again(error: Exception, logged: list[str]) -> None:
    times: list[float] = []

    async def step(loop: Loop) -> bool:
        times.append(time.monotonic())
        if len(times) < 3:
            raise error
        loop.stop()
        return False

    with capture_logs() as logs:
        drive(step, idle_s=30)
    first, second, third = times
    assert second - first >= 0.1
    assert third - second >= 0.2
    assert [entry["event"] for entry in logs] == logged


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        # Whatever is tried again is so within half a second of the database's return.
        (DatabaseUnavailableError("away"), [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5]),
        (BusyError("busy"), [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5]),
        (RuntimeError("a fault"), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
    ],
)
def test_how_long_it_pauses(
    monkeypatch: pytest.MonkeyPatch, error: Exception, pauses: list[float]
) -> None:
    waited: list[float] = []
    really, here = loop_module._wait, threading.get_ident()

    async def at_once(event: asyncio.Event, timeout_s: float) -> None:
        # A server that other tests share has its loops in a thread of its own.
        if threading.get_ident() != here:
            await really(event, timeout_s)
            return
        waited.append(timeout_s)

    monkeypatch.setattr(loop_module, "_wait", at_once)

    async def step(loop: Loop) -> bool:
        if len(waited) < len(pauses):
            raise error
        loop.stop()
        return False

    drive(step, idle_s=30)
    assert waited == pytest.approx(pauses)


def test_only_a_loop_that_is_woken_rests_longer_while_it_hears() -> None:
    async def step() -> bool:
        return False

    woken, periodic = Loop("woken", step, SAFETY_S), Loop("periodic", step, 2.0)
    for hears, longest_s in ((True, HEARD_S), (False, SAFETY_S)):
        woken.hear(hears)
        periodic.hear(hears)
        assert (woken.longest_wait_s, periodic.longest_wait_s) == (longest_s, 2.0)


def test_more_work_is_done_at_once_and_a_wake_during_a_step_is_kept() -> None:
    count = 0

    async def step(loop: Loop) -> bool:
        nonlocal count
        count += 1
        if count == 2:
            loop.wake()
        if count == 3:
            loop.stop()
        return count == 1

    drive(step, idle_s=30)
    assert count == 3


def test_work_that_may_wait_for_more_is_done_once() -> None:
    count = 0

    async def step(loop: Loop) -> bool:
        nonlocal count
        count += 1
        if count < 3:
            loop.wake_within(0.01)
            loop.wake_within(LONG_S)
        else:
            loop.stop()
        return False

    drive(step, idle_s=LONG_S)
    assert count == 3


def test_unasked_after_its_interval() -> None:
    count = 0

    async def step(loop: Loop) -> bool:
        nonlocal count
        count += 1
        if count == 3:
            loop.stop()
        return False

    drive(step, idle_s=0.01)
    assert count == 3


@pytest.mark.parametrize(
    ("again", "least_s", "most_s"),
    [(False, 24, 30), (7.5, 7.5, 7.5), (0.0, 0, 0), (-3.0, -3, -3), (60.0, 24, 30)],
)
def test_it_waits_as_long_as_the_step_said_and_no_longer_than_its_interval(
    monkeypatch: pytest.MonkeyPatch, again: Again, least_s: float, most_s: float
) -> None:
    waited: list[float] = []

    async def at_once(_event: asyncio.Event, timeout_s: float) -> None:
        waited.append(timeout_s)

    monkeypatch.setattr(loop_module, "_wait", at_once)

    async def step(loop: Loop) -> Again:
        if len(waited) == 20:
            loop.stop()
        return again

    drive(step, idle_s=30)
    assert len(waited) == 20
    assert all(least_s <= wait_s <= most_s for wait_s in waited)


@pytest.mark.parametrize(
    ("due_in_s", "worked", "again", "works"),
    [
        (None, False, False, False),
        (2.5, False, 2.5, False),
        (0.0, False, 0.2, True),
        (-1.0, False, 0.2, True),
        (-1.0, True, True, True),
    ],
)
def test_a_step_works_when_something_is_due(
    due_in_s: float | None, worked: bool, again: Again, works: bool
) -> None:
    begun: list[int] = []

    async def due_in() -> float | None:
        return due_in_s

    async def step() -> Again:
        begun.append(1)
        return worked

    found = asyncio.run(_awaited(when_due(due_in, step, pause_s=0.2)))
    assert (found, bool(begun)) == (again, works)
    assert type(found) is type(again)


async def _awaited(step: Callable[[], Awaitable[Again]]) -> Again:
    return await step()
