"""Who holds places, who waits, and whose turn it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proof.core.errors import BusyError
from proof.db.shares import Bounds, Share, Turns, Work, current_share, working_for

ACME: Share = (Work.PARTNER, 1)
OTHER: Share = (Work.PARTNER, 2)
THIRD: Share = (Work.PARTNER, 3)


def stranger(number: int) -> Share:
    return (Work.ANONYMOUS, number)


class Scene:
    """Callers that take a place when there is one and keep it until they are told."""

    def __init__(self, bounds: Bounds) -> None:
        self.turns = Turns(bounds)
        self.served: list[Share] = []
        self._over: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def arrive(self, *shares: Share) -> None:
        for share in shares:
            self.tasks.append(asyncio.create_task(self._call(share)))
        await settled()

    async def _call(self, share: Share) -> None:
        over = asyncio.Event()
        async with self.turns.turn(share):
            self.served.append(share)
            self._over.append(over)
            await over.wait()

    async def end_first(self) -> None:
        self._over.pop(0).set()
        await settled()

    async def end_all(self) -> None:
        while self._over:
            await self.end_first()
        await asyncio.gather(*self.tasks)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def drive(bounds: Bounds, script: Callable[[Scene], Awaitable[Any]]) -> None:
    async def run() -> None:
        scene = Scene(bounds)
        await script(scene)
        await scene.end_all()

    asyncio.run(run())


def test_one_holder_has_its_share_and_no_more_and_others_do_not_wait() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(*[ACME] * 10)
        assert scene.served == [ACME] * 3
        await scene.arrive(OTHER)
        assert scene.served == [ACME] * 3 + [OTHER]

    drive(Bounds(places=8, each=3), script)


def test_who_waits_is_served_in_turn_whoever_has_more_waiting() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(THIRD, THIRD)
        await scene.arrive(*[ACME] * 5, *[OTHER] * 2)
        for _ in range(5):
            await scene.end_first()
        assert scene.served[2:] == [ACME, OTHER, ACME, OTHER, ACME]

    drive(Bounds(places=2, each=2), script)


def test_a_kind_has_a_budget_for_all_of_it() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(*map(stranger, range(20)))
        assert scene.served == [stranger(0), stranger(1)]
        await scene.arrive(ACME, ACME)
        assert scene.served[2:] == [ACME, ACME]
        await scene.end_first()
        assert scene.served[4:] == [stranger(2)]

    drive(Bounds(places=8, each=3, kinds={Work.ANONYMOUS: 2}), script)


@pytest.mark.parametrize(
    ("shares", "refused"),
    [
        ([ACME] * 4, ACME),
        # Of strangers all queues together are bounded: there are more addresses than memory.
        ([stranger(0), stranger(1), stranger(2), stranger(3)], stranger(4)),
    ],
)
def test_queues_are_bounded(shares: list[Share], refused: Share) -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(*shares)
        with pytest.raises(BusyError):
            await scene.turns.take(refused)
        await scene.arrive(OTHER)
        assert scene.served[-1] == OTHER

    drive(Bounds(places=3, each=1, kinds={Work.ANONYMOUS: 1}, waiting=3), script)


def test_who_waits_longer_than_its_turn_is_told_and_leaves_no_trace() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(ACME)
        with pytest.raises(BusyError):
            await scene.turns.take(ACME)
        await scene.end_first()
        await scene.arrive(ACME, OTHER)
        assert scene.served == [ACME, ACME]

    drive(Bounds(places=1, each=1, wait_s=0.01), script)


def test_a_place_is_not_given_to_who_gives_up_in_the_same_moment() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(ACME, ACME, ACME)
        leaving = scene.tasks.pop(1)
        leaving.cancel()
        # The cancelled wait is still in the queue when the place is given back.
        scene.turns.give(ACME)
        await settled()
        assert leaving.cancelled()
        assert scene.served == [ACME, ACME]
        scene.turns._hold(ACME)

    drive(Bounds(places=1, each=1), script)


def test_who_hangs_up_while_waiting_gives_its_place_on() -> None:
    async def script(scene: Scene) -> None:
        await scene.arrive(ACME, ACME, OTHER)
        # The place is given and the caller gone in the same moment.
        scene._over.pop(0).set()
        await asyncio.sleep(0)
        scene.tasks[1].cancel()
        await settled()
        with pytest.raises(asyncio.CancelledError):
            await scene.tasks.pop(1)
        await scene.arrive(THIRD)
        await scene.end_first()
        assert scene.served[-2:] == [OTHER, THIRD]

    drive(Bounds(places=1, each=1), script)


def test_work_is_for_whom_it_was_said_to_be() -> None:
    assert current_share() is None
    with working_for(ACME):
        assert current_share() == ACME
        with working_for(None):
            assert current_share() is None
        assert current_share() == ACME
    assert current_share() is None
