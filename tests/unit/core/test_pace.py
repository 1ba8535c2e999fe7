"""A pace lets a few go at once, spaces the others, and counts none that would wait too long."""

import asyncio

import pytest

from proof.core.pace import Pace, Turnstile


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_becomes_a_flow() -> None:
    now = Time()
    pace = Pace(per_second=10, at_once=2, longest_s=0.3, now=now)
    waits = [pace.wait_s() for _ in range(7)]
    assert waits == [0.0, 0.0, 0.1, 0.2, 0.3, None, None]
    # Those that were refused cost nothing.
    now.now += 0.1
    assert pace.wait_s() == pytest.approx(0.3)
    now.now += 60
    assert [pace.wait_s() for _ in range(3)] == pytest.approx([0.0, 0.0, 0.1])


def test_what_is_cheap_takes_a_part_of_a_turn() -> None:
    pace = Pace(per_second=10, at_once=1, longest_s=1, now=Time())
    assert [pace.wait_s(0.5) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.05, 0.1])


def test_a_crowd_has_a_part_of_each_turn_of_the_event_loop() -> None:
    async def scene() -> list[int]:
        turnstile, passed = Turnstile(each_turn=2), 0

        async def one() -> None:
            nonlocal passed
            await turnstile.turn()
            passed += 1

        crowd = [asyncio.create_task(one()) for _ in range(9)]
        seen = []
        # One that gives up takes nobody's place.
        crowd[3].cancel()
        while passed < 8:
            before = passed
            await asyncio.sleep(0)
            seen.append(passed - before)
        await asyncio.gather(*crowd, return_exceptions=True)
        return seen

    seen = asyncio.run(scene())
    assert max(seen) == 2
    assert sum(seen) == 8
