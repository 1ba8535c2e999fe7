"""Many deliveries and several workers: bounds, fairness, and nothing sent twice without need."""

import asyncio
from datetime import timedelta

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

from proof.db import Database
from proof.events import PUBLISHED
from proof.webhooks import Limits, queries

LEASE = timedelta(seconds=60)


async def peopled(database: Database, environments: int, events: int) -> None:
    for to in range(1, environments + 1):
        await endpoint(database, f"https://e{to}.example/", to=to)
        await happen(database, events, to=to)


async def test_one_claim_is_bounded_and_shared_fairly(database: Database) -> None:
    client = FakeClient()
    await peopled(database, environments=4, events=20)
    await relay_all(database)
    limits = Limits(in_flight=10, per_endpoint=3)
    assert await deliverer(database, client, TurnedClock(), limits=limits).run_once() == 10
    assert sorted(client.most_open.values()) == [2, 2, 3, 3]


async def test_whoever_has_least_in_flight_comes_first(database: Database) -> None:
    await peopled(database, environments=2, events=10)
    await relay_all(database)
    busy = (await deliveries(database))[0]["endpoint_id"]
    now = TurnedClock().now()
    async with database.connection() as connection:
        taken = await queries.claim(connection, now, {busy: 4}, 16, 6, now + LEASE)
    assert sorted(item.partner_environment_id for item in taken) == [1, 2, 2, 2, 2, 2]


async def test_claims_at_the_same_moment_share_nothing(database: Database) -> None:
    """A row another claim took and let go of meanwhile is looked at again before it is taken."""

    await peopled(database, environments=1, events=400)
    await relay_all(database)
    now = TurnedClock().now()
    taken: list[int] = []

    async def worker() -> None:
        while len(taken) < 400:
            async with database.connection() as connection:
                rows = await queries.claim(connection, now, {}, 16, 3, now + LEASE)
            taken.extend(row.id for row in rows)

    async with asyncio.timeout(120):
        await asyncio.gather(*(worker() for _ in range(8)))
    assert len(taken) == len(set(taken)) == 400


@pytest.mark.parametrize(("waited_s", "sent"), [(0, 2), (50, 2), (51, 1), (60, 1)])
async def test_nothing_is_sent_that_another_worker_may_claim_before_it_ends(
    database: Database, waited_s: float, sent: int
) -> None:
    """One of two waits its turn; an attempt takes 10 s of a lease of 60."""

    clock, client = TurnedClock(), FakeClient(timeout_s=10)
    limits = Limits(per_endpoint=1, ahead=1)
    worker = deliverer(database, client, clock, limits=limits)
    await peopled(database, environments=1, events=1)
    await relay_all(database)
    # Only for an endpoint that answers are deliveries claimed ahead.
    assert await worker.run_once() == 1

    client.answers["e1.example"] = held = asyncio.Event()
    await happen(database, 2)
    await relay_all(database)
    clock.turn(1)
    second = asyncio.create_task(worker.run_once())
    await until(lambda: len(client.sent) == 2)
    clock.turn(waited_s)
    held.set()
    assert await second == 2
    assert len(client.sent) == 1 + sent
    assert [row["attempts"] for row in await deliveries(database)] == [1, 1, sent - 1]
    if sent == 1:
        # Given back: it is due at once, and counts no attempt.
        assert await worker.run_once() == 1
    assert await states(database) == {"delivered": 3}


async def test_a_stuck_endpoint_holds_nobody_back(database: Database) -> None:
    stuck = asyncio.Event()
    client = FakeClient(answers={"e1.example": stuck})
    await peopled(database, environments=3, events=200)
    limits = Limits(in_flight=24, per_endpoint=8, idle_s=0.02)
    async with running(deliverer(database, client, TurnedClock(), limits=limits)):
        await until(lambda: len(client.bodies("e2.example") + client.bodies("e3.example")) == 400)
        assert len(client.bodies("e1.example")) == client.most_open["e1.example"] == 8
        stuck.set()
        await until(lambda: len(client.bodies("e1.example")) == 200)
    assert await states(database) == {"delivered": 600}
    assert max(client.most_open.values()) <= 8


async def test_two_workers_send_each_event_once(database: Database) -> None:
    clients = FakeClient(), FakeClient()
    await peopled(database, environments=5, events=60)
    clock = TurnedClock()
    first, second = (deliverer(database, item, clock, limits=QUICK) for item in clients)

    async def done() -> bool:
        return await states(database) == {"delivered": 300}

    async with running(first), running(second):
        await until(done)
    bodies = [body for client in clients for _, body, _ in client.sent]
    assert len(bodies) == len(set(bodies)) == 300
    assert {row["attempts"] for row in await deliveries(database)} == {1}


async def test_an_event_is_relayed_and_sent_when_woken(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    await endpoint(database, "https://e1.example/")
    item = deliverer(database, client, clock, limits=Limits(idle_s=600))
    async with running(item):
        await until(lambda: database._pool.get_idle_size() == database._pool.get_size())
        await happen(database)
        clock.turn(1)
        for loop in item.loops:
            if PUBLISHED in loop.woken_by:
                loop.wake()
        await until(lambda: client.sent)
    assert await states(database) == {"delivered": 1}


async def test_stopping_finishes_what_is_in_flight_and_begins_nothing(database: Database) -> None:
    held = asyncio.Event()
    client = FakeClient(answers={"e1.example": held})
    await peopled(database, environments=1, events=5)
    limits = Limits(per_endpoint=3, idle_s=0.02)
    stop = asyncio.Event()
    task = asyncio.create_task(deliverer(database, client, TurnedClock(), limits=limits).run(stop))
    await until(lambda: len(client.sent) == 3)
    stop.set()
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done
    held.set()
    await task
    assert len(client.sent) == 3
    assert await states(database) == {"delivered": 3, "pending": 2}


async def test_what_is_given_back_is_that_claim_alone(database: Database) -> None:
    await peopled(database, environments=1, events=3)
    await relay_all(database)
    now = TurnedClock().now()
    back = now + timedelta(seconds=7)
    async with database.connection() as connection:
        taken = await queries.claim(connection, now, {}, 16, 2, now + LEASE)
        taken.sort(key=lambda delivery: delivery.id)
        await queries.give_back(connection, taken[:1], back)
        # The second time it is another's: nothing is undone.
        await queries.give_back(connection, taken[:1], back + LEASE)
    first, second = (delivery.id for delivery in taken)
    found = {
        row["id"]: (row["attempts"], row["next_attempt_at"]) for row in await deliveries(database)
    }
    (third,) = found.keys() - {first, second}
    assert found[first] == (0, back)
    assert found[second] == (1, now + LEASE)
    assert found[third][0] == 0
    assert found[third][1] < now
