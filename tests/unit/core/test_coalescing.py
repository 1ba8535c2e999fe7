"""A reading shared by all who ask at the same time is never older than their question."""

import asyncio
import time
from contextvars import ContextVar
from itertools import pairwise

import pytest

from proof.core.coalescing import Coalesced


class Source:
    """A value that a reading sees as it is when the reading begins; readings end when told."""

    def __init__(self) -> None:
        self.value = 0
        self.readings: list[asyncio.Event] = []

    async def read(self) -> int:
        seen, ended = self.value, asyncio.Event()
        self.readings.append(ended)
        await ended.wait()
        if seen < 0:
            raise LookupError(seen)
        return seen

    async def begun(self, count: int) -> None:
        while len(self.readings) < count:  # noqa: ASYNC110 - a turn of the loop, not a time
            await asyncio.sleep(0)


async def test_who_asks_during_a_reading_gets_the_next_one_with_all_others() -> None:
    source = Source()
    shared = Coalesced(source.read)
    first = asyncio.create_task(shared.get())
    await source.begun(1)
    source.value = 1
    later = [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    source.readings[0].set()
    assert await first == 0
    await source.begun(2)
    source.value = 2
    last = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    source.readings[1].set()
    assert set(await asyncio.gather(*later)) == {1}
    await source.begun(3)
    source.readings[2].set()
    assert await last == 2
    assert len(source.readings) == 3


async def test_a_reading_that_fails_fails_for_its_askers_alone() -> None:
    source = Source()
    source.value = -1
    shared = Coalesced(source.read)
    failing = asyncio.create_task(shared.get())
    await source.begun(1)
    source.value = 5
    waiting = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    source.readings[0].set()
    with pytest.raises(LookupError):
        await failing
    await source.begun(2)
    source.readings[1].set()
    assert await waiting == 5


async def test_a_reading_is_not_done_in_the_name_of_who_asked_first() -> None:
    asker = ContextVar("asker", default="nobody")

    async def read() -> str:
        return asker.get()

    asker.set("first")
    assert await Coalesced(read).get() == "nobody"


async def test_an_asker_that_goes_away_takes_nothing_from_the_others() -> None:
    source = Source()
    shared = Coalesced(source.read)
    leaving = asyncio.create_task(shared.get())
    await source.begun(1)
    leaving.cancel()
    staying = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    source.readings[0].set()
    await source.begun(2)
    source.readings[1].set()
    assert await staying == 0
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_who_asks_before_a_reading_begins_shares_it() -> None:
    source = Source()
    shared = Coalesced(source.read)
    asking = [asyncio.create_task(shared.get()) for _ in range(50)]
    await source.begun(1)
    source.readings[0].set()
    assert set(await asyncio.gather(*asking)) == {0}
    assert len(source.readings) == 1


async def test_nobody_waits_for_more_than_two_readings_that_fail() -> None:
    source = Source()
    source.value = -1
    shared = Coalesced(source.read)
    asking = [asyncio.create_task(shared.get())]
    await source.begun(1)
    asking += [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    source.readings[0].set()
    await source.begun(2)
    source.readings[1].set()
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(end) for end in ends} == {LookupError}
    assert len(source.readings) == 2


async def test_readings_begin_at_a_distance() -> None:
    begun = []

    async def read() -> None:
        begun.append(time.monotonic())

    shared = Coalesced(read, every_s=0.02)
    for _ in range(3):
        await shared.get()
    assert all(later - earlier >= 0.02 for earlier, later in pairwise(begun))
