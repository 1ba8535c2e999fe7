"""Sending again: the same id and bytes, the whole schedule, and only what was meant."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.db.webhooks.scene import (
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
    states,
)

from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Database
from proof.events import Event, publish
from proof.webhooks import BreakerPolicy, queries
from proof.webhooks.pruning import prune_batch
from proof.webhooks.replay import Selection, Standing, replay, replay_delivery, standing
from proof.webhooks.service import send_test_event, set_ordering
from proof.webhooks.types import AttemptOutcome, DeliveryState, Ordering, Waiting

# Schedules are looked at here, not whether an endpoint is dead by the end of one.
OPEN = "breaker = 'open', reason = 'timeout', opened_at = $1, probe_at = $1"
DISABLED = "breaker = 'disabled', reason = 'gone', disabled_at = $1"
PATIENT = BreakerPolicy(in_a_row=1_000_000)


async def delivered(database: Database, client: FakeClient, clock: TurnedClock, count: int) -> Any:
    await endpoint(database, "https://one.example/")
    await happen(database, count)
    await relay_all(database)
    item = deliverer(database, client, clock, breaker=PATIENT)
    await item.run_once()
    return item


async def settled(item: Any) -> None:
    """Until nothing is due; a failing endpoint is given a few at a time."""
    while await item.run_once():
        pass


async def replay_one(
    database: Database, clock: TurnedClock, number: int = 0, owner: int = 1
) -> int:
    row = (await deliveries(database))[number]
    async with database.transaction() as tx:
        await replay_delivery(tx, owner, row["id"], clock.now())
    return int(row["id"])


def ids(client: FakeClient) -> list[str]:
    return [headers["webhook-id"] for _, _, headers in client.sent]


async def test_a_delivered_one_is_sent_again_with_the_same_id(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await delivered(database, client, clock, 3)
    await replay_one(database, clock, 1)
    assert await states(database) == {"delivered": 2, "pending": 1}
    assert await item.run_once() == 1
    assert ids(client)[3] == ids(client)[1]
    assert client.sent[3][1] == client.sent[1][1]
    assert await states(database) == {"delivered": 3}


async def test_it_has_the_whole_schedule_again(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    item = await delivered(database, client, clock, 1)
    for _ in range(9):
        clock.turn(90_000)
        await item.run_once()
    assert await states(database) == {"failed": 1}
    await replay_one(database, clock)
    for attempt, wait_s in enumerate((5, 300, 1800), start=11):
        assert await item.run_once() == 1
        (row,) = await deliveries(database)
        assert (row["state"], row["attempts"]) == ("pending", attempt)
        assert row["next_attempt_at"] - clock.now() == timedelta(seconds=wait_s)
        clock.turn(wait_s)


async def test_a_late_outcome_from_before_does_not_end_the_replay(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    item = await delivered(database, client, clock, 1)
    for _ in range(9):
        clock.turn(90_000)
        await item.run_once()
    delivery_id = await replay_one(database, clock)
    late = AttemptOutcome(delivery_id, 1, DeliveryState.FAILED, "late", clock.now())
    async with database.connection() as connection:
        await queries.record(connection, [late])
    assert await states(database) == {"pending": 1}


@pytest.mark.parametrize(
    ("endpoint_is", "delivery_is", "expected"),
    [
        ("breaker = 'closed'", "due_at = $1, next_attempt_at = $1", Waiting.WORKER),
        ("breaker = 'closed'", "due_at = $1, next_attempt_at = $1 + interval '9 s'", "under_way"),
        ("breaker = 'closed'", "due_at = $1 + interval '9 s'", Waiting.SCHEDULE),
        ("breaker = 'closed'", "due_at = 'infinity', attempts = $2", Waiting.ORDER),
        (OPEN, "due_at = 'infinity', attempts = $2", Waiting.BREAKER),
        (DISABLED, "due_at = $1, next_attempt_at = $1", Waiting.DISABLED),
    ],
)
async def test_what_is_pending_is_counted_with_what_it_waits_for(
    database: Database, endpoint_is: str, delivery_is: str, expected: str
) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    await delivered(database, client, clock, 2)
    now = clock.now()
    async with database.transaction() as tx:
        to = await tx.fetchval(
            f"UPDATE webhook_endpoints SET {endpoint_is} WHERE $1::timestamptz IS NOT NULL"
            " RETURNING id",
            now,
        )
        await tx.execute(
            f"UPDATE webhook_deliveries SET {delivery_is}"
            " WHERE $1::timestamptz IS NOT NULL AND $2::smallint = 1",
            now,
            1,
        )
        found = await standing(tx, Selection(1), now)
        (item, *_) = await deliveries(database)
        (alone,) = await standing(tx, Selection(1), now, item["id"])
        assert await standing(tx, Selection(2), now) == []
    times = {Waiting.SCHEDULE: now + timedelta(seconds=9), Waiting.BREAKER: now}
    waiting = Waiting(expected)
    assert found == [Standing(to, waiting, 2, times.get(waiting))]
    assert alone == Standing(to, waiting, 1, times.get(waiting))


async def test_a_pending_one_is_left_as_it_is(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    await delivered(database, client, clock, 1)
    (before,) = await deliveries(database)
    await replay_one(database, clock)
    assert await deliveries(database) == [before]


async def test_what_cannot_be_replayed(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    await delivered(database, client, clock, 1)
    with pytest.raises(NotFoundError):
        await replay_one(database, clock, owner=2)
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await replay_delivery(tx, 1, 10**9, clock.now())
    async with database.transaction() as tx:
        assert await prune_batch(tx, clock.now()) == 1
    with pytest.raises(InvalidInputError, match="no longer kept"):
        await replay_one(database, clock)
    assert await replay(database, Selection(1), clock.now()) == 0
    await endpoint(database, "")
    with pytest.raises(InvalidInputError, match="was removed"):
        await replay_one(database, clock)
    assert await states(database) == {"delivered": 1}


async def test_a_time_range(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await delivered(database, client, clock, 3)
    async with database.connection() as connection:
        first = await connection.fetchval("SELECT max(created_at) FROM outbox")
    await happen(database, 2)
    await relay_all(database)
    clock.turn(1)
    await item.run_once()
    async with database.connection() as connection:
        second = await connection.fetchval("SELECT max(created_at) FROM outbox")
    now = clock.now()
    assert await replay(database, Selection(1, since=second), now) == 2
    await item.run_once()
    assert ids(client)[5:] == ids(client)[3:5]
    assert await replay(database, Selection(1, since=first, until=second), now) == 3
    assert await replay(database, Selection(1, since=first, until=second), now) == 0
    assert await replay(database, Selection(2), now) == 0
    await item.run_once()
    known = await endpoint_id(database)
    assert await replay(database, Selection(1, endpoint_id=known), now) == 5
    assert await replay(database, Selection(2, endpoint_id=known), now) == 0


async def test_everything_failed_since(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    item = await delivered(database, client, clock, 3)
    for _ in range(8):
        clock.turn(90_000)
        await settled(item)
    # Two more fail later than the first three; one is delivered.
    await happen(database, 2, subject="later")
    await relay_all(database)
    clock.turn(90_000)
    await settled(item)
    moment = clock.now() + timedelta(seconds=1)
    for _ in range(9):
        clock.turn(90_000)
        await settled(item)
    client.answers.clear()
    await happen(database, 1, subject="good")
    await relay_all(database)
    await settled(item)
    assert await states(database) == {"failed": 5, "delivered": 1}
    assert await replay(database, Selection(1, failed_since=moment), clock.now()) == 2
    long_ago = moment - timedelta(days=365)
    assert await replay(database, Selection(1, failed_since=long_ago), clock.now()) == 3
    await settled(item)
    assert await states(database) == {"delivered": 6}


async def test_a_replay_of_more_than_one_batch(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await delivered(database, client, clock, 1300)
    while await item.run_once():
        pass
    assert await replay(database, Selection(1), clock.now()) == 1300
    assert await states(database) == {"pending": 1300}


async def test_an_objects_events_are_replayed_in_order(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    await endpoint(database, "https://one.example/")
    known = await endpoint_id(database)
    async with database.transaction() as tx:
        await set_ordering(tx, known, Ordering.SUBJECT)
        await publish(tx, [Event(1, "timestamp.proof", "one", b"%d" % n) for n in range(1, 5)])
    await relay_all(database)
    item = deliverer(database, client, clock)
    while await item.run_once():
        clock.turn(1)
    client.sent.clear()
    client.answers["one.example"] = 500
    assert await replay(database, Selection(1), clock.now()) == 4
    assert await item.run_once() == 1
    assert await item.run_once() == 0
    client.answers.clear()
    clock.turn(5)
    while await item.run_once():
        clock.turn(1)
    assert [body for _, body, _ in client.sent] == [b"1", b"1", b"2", b"3", b"4"]


async def test_a_test_event_goes_to_one_endpoint_alone(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    await endpoint(database, "https://one.example/")
    known = await endpoint_id(database)
    await endpoint(database, "https://tree.example/", "timestamp.tree")
    await endpoint(database, "https://two.example/", to=2)
    async with database.transaction() as tx:
        event_id = await send_test_event(tx, known)
    assert await relay_all(database) == 1
    await deliverer(database, client, clock).run_once()
    ((host, body, headers),) = client.sent
    assert host == "one.example"
    assert json.loads(body) == {"id": str(event_id), "type": "webhook.test"}
    assert headers["webhook-id"] == f"msg_{event_id.hex}"
    assert "x-signature" in headers, "the endpoint checks what it always checks"


async def test_a_test_event_for_nobody_is_refused_or_lost(database: Database) -> None:
    await endpoint(database, "https://one.example/")
    known = await endpoint_id(database)
    async with database.transaction() as tx:
        await send_test_event(tx, known)
    await endpoint(database, "")
    assert await relay_all(database) == 0
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await send_test_event(tx, known)
