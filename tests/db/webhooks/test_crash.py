"""Stopping anywhere: every event arrives at least once, and always with the same id."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.db.webhooks.scene import (
    QUICK,
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    happen,
    relay_all,
    running,
    states,
    until,
)
from tests.support.databases import FaultyDatabase

from proof.core.errors import DatabaseUnavailableError
from proof.db import Database
from proof.webhooks import queries
from proof.webhooks.types import AttemptOutcome, ClaimedDelivery, DeliveryState

Run = Callable[[Any], Any]
LEASE_S = 60


async def one_pending(database: Database, count: int = 1) -> None:
    await endpoint(database, "https://one.example/")
    await happen(database, count)
    await relay_all(database)


async def claimed(database: Database, clock: TurnedClock) -> list[ClaimedDelivery]:
    async with database.connection() as connection:
        end = clock.now() + timedelta(seconds=LEASE_S)
        return await queries.claim(connection, clock.now(), {}, 16, 512, end)


async def recorded(database: Database, *outcomes: AttemptOutcome) -> None:
    async with database.connection() as connection:
        await queries.record(connection, outcomes)


async def test_a_worker_that_dies_while_sending(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": asyncio.Event()}), TurnedClock()
    await one_pending(database, 3)
    task = asyncio.create_task(
        deliverer(database, client, clock, limits=QUICK).run(asyncio.Event())
    )
    await until(lambda: len(client.sent) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not client.open["one.example"])
    heir = FakeClient()
    clock.turn(LEASE_S - 1)
    assert await deliverer(database, heir, clock).run_once() == 0
    clock.turn(1)
    assert await deliverer(database, heir, clock).run_once() == 3
    assert await states(database) == {"delivered": 3}
    before, after = (
        {headers["webhook-id"] for _, _, headers in item.sent} for item in (client, heir)
    )
    assert before == after


async def test_dying_after_every_claim_still_ends_in_an_attempt(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    await one_pending(database)
    for _ in range(12):
        assert len(await claimed(database, clock)) == 1
        clock.turn(LEASE_S)
    assert await deliverer(database, client, clock).run_once() == 1
    (row,) = await deliveries(database)
    assert (row["state"], row["attempts"]) == ("failed", 13)


async def test_a_late_failure_does_not_overrule_the_attempt_that_followed(
    database: Database,
) -> None:
    clock = TurnedClock()
    await one_pending(database)
    (first,) = await claimed(database, clock)
    clock.turn(LEASE_S)
    (second,) = await claimed(database, clock)
    due = clock.now() + timedelta(seconds=LEASE_S)
    for state in (DeliveryState.PENDING, DeliveryState.FAILED):
        await recorded(
            database, AttemptOutcome(first.id, first.attempt, state, "late", clock.now())
        )
        (row,) = await deliveries(database)
        assert (row["state"], row["next_attempt_at"]) == ("pending", due)
    await recorded(
        database,
        AttemptOutcome(first.id, first.attempt, DeliveryState.DELIVERED, "200", clock.now()),
    )
    await recorded(
        database,
        AttemptOutcome(second.id, second.attempt, DeliveryState.FAILED, "500", clock.now()),
    )
    (row,) = await deliveries(database)
    assert (row["state"], row["last_outcome"]) == ("delivered", "200")


async def test_two_recorders_of_the_same_rows_do_not_wait_for_each_other(
    database: Database,
) -> None:
    clock = TurnedClock()
    await endpoint(database, "https://one.example/")
    await happen(database, 16)
    await relay_all(database)
    taken = await claimed(database, clock)
    outcomes = [
        AttemptOutcome(item.id, 1, DeliveryState.PENDING, "500", clock.now()) for item in taken
    ]
    async with asyncio.timeout(120):
        for _ in range(50):
            await asyncio.gather(
                recorded(database, *outcomes), recorded(database, *reversed(outcomes))
            )


@pytest.mark.parametrize("acted", [False, True], ids=["failed", "failed but applied"])
def test_a_database_that_comes_and_goes(run: Run, database: Database, acted: bool) -> None:
    """Every other use of it fails; what was claimed then waits for its lease."""

    async def scene() -> None:
        uses = 0

        def fails() -> bool | None:
            nonlocal uses
            uses += 1
            return acted if uses % 2 else None

        client, clock = FakeClient(), TurnedClock()
        await endpoint(database, "https://one.example/")
        events = await happen(database, 30)
        faulty = FaultyDatabase(database, fails)

        async def done() -> bool:
            clock.turn(LEASE_S)
            return await states(database) == {"delivered": 30}

        async with running(deliverer(faulty, client, clock, limits=QUICK)):
            await until(done)
        assert set(client.bodies("one.example")) == {event.body for event in events}

    run(scene())


async def test_outcomes_outlast_an_outage(database: Database) -> None:
    away = False
    client, clock = FakeClient(), TurnedClock()
    held = asyncio.Event()
    client.answers["one.example"] = held
    await one_pending(database, 3)
    faulty = FaultyDatabase(database, lambda: False if away else None)
    async with running(deliverer(faulty, client, clock, limits=QUICK)):
        await until(lambda: len(client.sent) == 3)
        away = True
        held.set()
        await until(lambda: not client.open["one.example"])
        away = False

        async def done() -> bool:
            return await states(database) == {"delivered": 3}

        await until(done)
    assert len(client.sent) == 3


async def test_run_once_tells_of_an_outage_and_keeps_the_outcomes(database: Database) -> None:
    fates: list[bool | None] = [None, False]
    client, clock = FakeClient(), TurnedClock()
    await one_pending(database)
    faulty = FaultyDatabase(database, lambda: fates.pop(0) if fates else None)
    item = deliverer(faulty, client, clock)
    with pytest.raises(DatabaseUnavailableError):
        await item.run_once()
    assert await states(database) == {"pending": 1}
    assert await item.run_once() == 0
    assert await states(database) == {"delivered": 1}
    assert len(client.sent) == 1
