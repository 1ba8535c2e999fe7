"""Sequences of an object's events, and their order where an endpoint asks for it."""

import asyncio
import random
from typing import Any

import pytest
from tests.db.webhooks.scene import (
    LASTING_S,
    QUICK,
    FakeClient,
    SteppedDeliverer,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
    running,
    states,
    until,
)

from proof.core.errors import NotFoundError
from proof.db import Database
from proof.events import Event, publish, relay
from proof.webhooks import fan_out
from proof.webhooks.service import enable_endpoint, set_ordering
from proof.webhooks.types import Ordering


async def order(database: Database, ordering: Ordering = Ordering.SUBJECT) -> None:
    known = await endpoint_id(database)
    async with database.transaction() as tx:
        await set_ordering(tx, known, ordering)


async def ordered(database: Database) -> None:
    await endpoint(database, "https://one.example/")
    await order(database)


async def under_way(
    database: Database, events: int, answer: int = 200
) -> tuple[FakeClient, TurnedClock, SteppedDeliverer]:
    """So many events of one object for an endpoint that asks for order and gives this answer; who sends
    them, through what, and by which clock."""
    client, clock = FakeClient(answers={"one.example": answer}), TurnedClock()
    await ordered(database)
    await happen(database, events, subject="one")
    await relay_all(database)
    return client, clock, deliverer(database, client, clock)


def sequences(client: FakeClient) -> list[int]:
    return [int(headers["webhook-sequence"]) for _, _, headers in client.sent]


async def test_an_objects_events_are_numbered_without_gaps(database: Database) -> None:
    """Four writers at once, some undone, relayed in small pieces by three relays."""

    async def scene() -> None:
        chosen, finished = random.Random(5), asyncio.Event()
        committed = 0

        async def writer(name: int) -> None:
            nonlocal committed
            connection = await database.dedicated()
            for n in range(20):
                transaction = connection.transaction()
                await transaction.start()
                sent = [Event(1 + n % 2, "t", f"s{chosen.randrange(5)}", b"{}") for _ in range(3)]
                await publish(connection, sent)
                if chosen.random() < 0.3:
                    await transaction.rollback()
                else:
                    await transaction.commit()
                    committed += 3
            await connection.close()

        async def relaying() -> None:
            while not finished.is_set():
                async with database.transaction() as tx:
                    for item in await relay(tx, 5):
                        found.append((item.cursor, item.event, item.sequence))
                        assert item.sequence > 0

        found: list[tuple[int, Event, int]] = []
        relays = [asyncio.create_task(relaying()) for _ in range(3)]
        await asyncio.gather(*(writer(name) for name in range(4)))
        await until(lambda: len(found) == committed)
        finished.set()
        await asyncio.gather(*relays)
        counted: dict[tuple[int, str], int] = {}
        for _, event, sequence in sorted(found, key=lambda item: item[0]):
            key = (event.partner_environment_id, event.subject)
            counted[key] = counted.get(key, 0) + 1
            assert sequence == counted[key]
        assert len(counted) == 10

    await scene()


async def test_a_relay_undone_leaves_no_gap(database: Database) -> None:
    async def failing() -> None:
        async with database.transaction() as tx:
            assert [item.sequence for item in await relay(tx, 10)] == [1, 2]
            raise LookupError("killed before its commit")

    await happen(database, 2, subject="one")
    with pytest.raises(LookupError):
        await failing()
    await happen(database, 1, subject="one")
    async with database.transaction() as tx:
        assert [item.sequence for item in await relay(tx, 10)] == [1, 2, 3]


async def test_without_asking_a_failure_holds_nothing_up_and_the_sequence_tells(
    database: Database,
) -> None:
    client = FakeClient()
    await endpoint(database, "https://one.example/")
    await happen(database, 3, subject="one")
    await happen(database, 1, subject="two")
    await relay_all(database)
    await deliverer(database, client, TurnedClock()).run_once()
    assert sorted(sequences(client)) == [1, 1, 2, 3]


async def test_the_next_is_sent_only_after_the_former_has_ended(database: Database) -> None:
    client, clock, item = await under_way(database, 3, answer=500)
    await item.run_once()
    await item.run_once()
    assert sequences(client) == [1]
    await happen(database, 1, subject="two")
    await relay_all(database)
    clock.turn(1)
    await item.run_once()
    assert sequences(client) == [1, 1], "another object is not held up"
    client.answers.clear()
    clock.turn(10)
    for _ in range(3):
        await item.run_once()
    assert sequences(client)[2:] == [1, 1, 2, 3]
    assert await states(database) == {"delivered": 4}


async def test_after_one_that_failed_for_good_the_next_is_sent(database: Database) -> None:
    client, clock, item = await under_way(database, 2, answer=500)
    for _ in range(10):
        await item.run_once()
        clock.turn(2 * 86_400)
    assert sequences(client) == [1] * 10
    assert [row["state"] for row in await deliveries(database)] == ["failed", "pending"]
    client.answers.clear()
    await item.run_once()
    assert sequences(client)[10:] == [2]


async def test_order_holds_with_two_workers_late_events_and_failures(database: Database) -> None:
    chosen = random.Random(11)
    accepted: list[bytes] = []

    class Flaky(FakeClient):
        async def post(self, url: str, body: bytes, headers: Any) -> Any:
            await asyncio.sleep(chosen.random() * 0.005)
            self.answers["one.example"] = 500 if chosen.random() < 0.2 else 200
            reply = await super().post(url, body, headers)
            if reply.status == 200:
                accepted.append(body)
            return reply

    clock = TurnedClock()
    await ordered(database)
    first, second = (
        deliverer(database, Flaky(LASTING_S), clock, limits=QUICK, breaker=None) for _ in range(2)
    )

    async def done() -> bool:
        clock.turn(5)
        return await states(database) == {"delivered": 60}

    async with running(first), running(second):
        for n in range(20):
            async with database.transaction() as tx:
                await publish(
                    tx,
                    [Event(1, "timestamp.proof", f"s{s}", b"%d %d" % (s, n)) for s in range(3)],
                )
            await asyncio.sleep(0)
        await until(done)
    for s in range(3):
        mine = [body for body in accepted if body.startswith(b"%d " % s)]
        once = list(dict.fromkeys(mine))
        assert once == [b"%d %d" % (s, n) for n in range(20)]


async def test_a_fan_out_and_the_end_of_the_former_at_the_same_moment(database: Database) -> None:
    """Neither may look before and write after the other, or the next would wait for ever."""

    client, clock = FakeClient(), TurnedClock()
    await ordered(database)
    item = deliverer(database, client, clock)
    for n in range(1, 16):
        await happen(database, 1, subject="one")
        clock.turn(1)
        await asyncio.gather(relay_all(database), item.run_once())
        clock.turn(1)
        if n % 3 == 0:
            await item.run_once()
    while await item.run_once():
        clock.turn(1)
    assert sequences(client) == list(range(1, 16))


async def test_giving_order_up_lets_out_what_was_held_back(database: Database) -> None:
    client, clock, item = await under_way(database, 3, answer=500)
    await item.run_once()
    await order(database, Ordering.NONE)
    client.answers.clear()
    clock.turn(1)
    assert await item.run_once() == 2
    clock.turn(5)
    assert await item.run_once() == 1
    assert await states(database) == {"delivered": 3}


async def test_an_endpoint_that_is_not_there_has_no_order(database: Database) -> None:
    await endpoint(database, "https://one.example/")
    known = await endpoint_id(database)
    await endpoint(database, "")
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await set_ordering(tx, known, Ordering.SUBJECT)


async def test_a_fan_out_repeated_by_another_relay_adds_nothing(database: Database) -> None:
    await ordered(database)
    await happen(database, 2, subject="one")
    async with database.transaction() as tx:
        relayed = await relay(tx, 10)
        assert await fan_out(tx, relayed) == 2
    assert await relay_all(database) == 0


async def test_an_endpoint_that_is_called_again_keeps_the_order(database: Database) -> None:
    await under_way(database, 3)
    known = await endpoint_id(database)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE webhook_endpoints SET breaker = 'open', reason = 'x',"
            " opened_at = now(), probe_at = now()"
        )
        await tx.execute(
            "UPDATE webhook_deliveries SET due_at = now() + interval '1 day'"
            " WHERE due_at < 'infinity'"
        )
        await enable_endpoint(tx, known)
        rows = await tx.fetch(
            "SELECT due_at = now() AS due, due_at = 'infinity' AS waits FROM webhook_deliveries"
            " ORDER BY id"
        )
    assert [tuple(row) for row in rows] == [(True, False), (False, True), (False, True)]
