"""An endpoint that fails: left alone, probed, given up; told of once; and nothing used up meanwhile."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.db.webhooks.scene import (
    LASTING_S,
    POLICY,
    QUICK,
    FakeClient,
    FakeNotifier,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
    running,
    seen,
    states,
    until,
)

from proof.core.errors import NotFoundError
from proof.db import Database
from proof.outbound import OutboundError, OutboundReply, Reason
from proof.webhooks import BreakerPolicy, Change, Schedule, set_endpoint
from proof.webhooks.breaker import BreakerChange, Finding
from proof.webhooks.endpoint_queries import judge
from proof.webhooks.service import enable_endpoint
from proof.webhooks.types import Breaker

BREAKER = BreakerPolicy(least=4, first_probe_s=30, probes=3, disable_after=timedelta(hours=1))
RARE = Schedule((0, 86_400, 86_400), random=lambda: 0.5)
DEAD = OutboundError("one.example", Reason.TIMEOUT)


async def opened(
    database: Database,
    clock: TurnedClock,
    client: FakeClient,
    notifier: FakeNotifier,
    count: int = 6,
    **how: Any,
) -> Any:
    """A deliverer whose only endpoint's breaker has just opened."""
    client.answers["one.example"] = DEAD
    await endpoint(database, "https://one.example/hook?token=secret")
    await happen(database, count)
    await relay_all(database)
    item = deliverer(database, client, clock, breaker=BREAKER, notifier=notifier, **how)
    await item.run_once()
    assert (await seen(database)).breaker is Breaker.OPEN
    return item


async def recovered(database: Database, clock: TurnedClock, client: FakeClient, item: Any) -> None:
    """A new event has probed the endpoint with success."""
    await happen(database)
    await relay_all(database)
    clock.turn(30)
    client.answers["one.example"] = 204
    assert await item.run_once() == 1
    assert (await seen(database)).breaker is Breaker.CLOSED


async def test_it_opens_waits_is_probed_and_recovers(database: Database) -> None:
    client, clock, notifier = FakeClient(), TurnedClock(), FakeNotifier()
    item = await opened(database, clock, client, notifier)
    found = await seen(database)
    assert found.reason == "too many failed, the last: timeout"
    assert found.probe_at == clock.now() + timedelta(seconds=30)
    sent = len(client.sent)
    clock.turn(29)
    assert await item.run_once() == 0
    clock.turn(1)
    assert await item.run_once() == 1, "one delivery probes, the others wait"
    assert (await seen(database)).probe_at == clock.now() + timedelta(seconds=60)
    clock.turn(60)
    client.answers["one.example"] = 204
    assert await item.run_once() == 1
    found = await seen(database)
    assert (found.breaker, found.reason, found.failed_probes) == (Breaker.CLOSED, None, 0)
    await item.run_once()
    assert await states(database) == {"delivered": 6}
    assert len(client.sent) == sent + 2 + 5
    assert notifier.changes == [Change.OPENED, Change.RECOVERED]


async def test_what_waited_goes_out_when_it_closes_however_late_its_next_attempt_was(
    database: Database,
) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await opened(database, clock, client, FakeNotifier(), schedule=RARE)
    await recovered(database, clock, client, item)
    assert await item.run_once() == 6
    assert await states(database) == {"delivered": 7}


async def test_an_endpoint_that_closes_and_fails_again_uses_up_no_schedule(
    database: Database,
) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await opened(database, clock, client, FakeNotifier(), schedule=RARE)
    for _ in range(3):
        await recovered(database, clock, client, item)
        client.answers["one.example"] = DEAD
        while await item.run_once():
            pass
        assert (await seen(database)).breaker is Breaker.OPEN
    rows = [row for row in await deliveries(database) if row["state"] != "delivered"]
    assert [row["state"] for row in rows] == ["pending"] * 6
    assert {row["due_at"] - clock.now() for row in rows} == {timedelta(days=1)}
    assert {row["attempts"] for row in rows} == {4}


@pytest.mark.parametrize("how", ["enabled", "another URL"])
async def test_whoever_says_that_it_works_now_gets_all_at_once(
    database: Database, how: str
) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await opened(database, clock, client, FakeNotifier(), schedule=RARE)
    clock.turn(30)
    client.answers.clear()
    async with database.transaction() as tx:
        if how == "enabled":
            await enable_endpoint(tx, await endpoint_id(database))
        else:
            await set_endpoint(tx, POLICY, 1, "timestamp.proof", "https://two.example/")
    while await item.run_once():
        pass
    assert await states(database) == {"delivered": 6}


async def test_a_delivery_that_probed_in_vain_waits_for_the_breaker_alone(
    database: Database,
) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await opened(database, clock, client, FakeNotifier())
    clock.turn(30)
    assert await item.run_once() == 1
    assert {row["due_at"] <= clock.now() for row in await deliveries(database)} == {True}
    assert await item.run_once() == 0


async def test_probes_use_up_no_attempt(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    item = await opened(database, clock, client, FakeNotifier())
    before = [row["attempts"] for row in await deliveries(database)]
    for wait_s in (30, 60):
        clock.turn(wait_s)
        assert await item.run_once() == 1
    assert [row["attempts"] for row in await deliveries(database)] == before
    assert await states(database) == {"pending": 6}


async def test_it_is_disabled_after_several_probes_and_a_long_time(database: Database) -> None:
    client, clock, notifier = FakeClient(), TurnedClock(), FakeNotifier()
    item = await opened(database, clock, client, notifier)
    waits = [30, 60, 120, 240, 480, 960, 1920]
    for failed, wait_s in enumerate(waits, start=1):
        found = await seen(database)
        assert (found.breaker, found.failed_probes) == (Breaker.OPEN, failed - 1)
        clock.turn(wait_s)
        assert await item.run_once() == 1
    # Three failed probes were not enough before the hour was over; the seventh was past it.
    found = await seen(database)
    assert found.breaker is Breaker.DISABLED
    assert found.reason == "7 probes failed, the last one: timeout"
    assert found.disabled_at == clock.now()
    clock.turn(10**6)
    assert await item.run_once() == 0
    assert await states(database) == {"pending": 6}
    assert notifier.changes == [Change.OPENED, Change.DISABLED]


@pytest.mark.parametrize("how", ["enabled", "named again", "another URL"])
async def test_a_disabled_endpoint_gets_all_that_waited(database: Database, how: str) -> None:
    client, clock, notifier = FakeClient(), TurnedClock(), FakeNotifier()
    client.answers["one.example"] = 410
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    item = deliverer(database, client, clock, notifier=notifier)
    await item.run_once()
    found = await seen(database)
    assert (found.breaker, found.reason) == (Breaker.DISABLED, "it answered 410 Gone")
    await happen(database, 3)
    await relay_all(database)
    clock.turn(5)
    assert await item.run_once() == 0
    client.answers.clear()
    async with database.transaction() as tx:
        if how == "enabled":
            await enable_endpoint(tx, found.id)
        else:
            url = "https://one.example/" if how == "named again" else "https://two.example/"
            await set_endpoint(tx, POLICY, 1, "timestamp.proof", url)
    while await item.run_once():
        pass
    assert await states(database) == {"delivered": 4}
    assert notifier.changes == [Change.DISABLED]


async def test_several_answers_of_gone_are_told_once(database: Database) -> None:
    client, notifier = FakeClient(answers={"one.example": 410}), FakeNotifier()
    await endpoint(database, "https://one.example/hook?token=secret")
    await happen(database, 8)
    await relay_all(database)
    await deliverer(database, client, TurnedClock(), notifier=notifier).run_once()
    (notice,) = notifier.notices
    assert (notice.change, notice.host) == (Change.DISABLED, "one.example")
    assert notice.endpoint_id == await endpoint_id(database)
    assert notice.partner_environment_id == 1
    assert "secret" not in repr(notice)


async def test_two_workers_make_one_change_and_tell_it_once(database: Database) -> None:
    clock, notifier = TurnedClock(), FakeNotifier()
    clients = [FakeClient(answers={"one.example": DEAD}) for _ in range(2)]
    await endpoint(database, "https://one.example/")
    await happen(database, 40)
    await relay_all(database)
    first, second = (
        deliverer(database, client, clock, breaker=BREAKER, notifier=notifier, limits=QUICK)
        for client in clients
    )

    async def over() -> bool:
        clock.turn(3600)
        return (await seen(database)).breaker is Breaker.DISABLED

    async with running(first), running(second):
        await until(over)
    assert notifier.changes == [Change.OPENED, Change.DISABLED]


async def test_a_notice_that_fails_changes_nothing(database: Database) -> None:
    client, clock = FakeClient(), TurnedClock()
    notifier = FakeNotifier(error=OSError("the relay is away"))
    item = await opened(database, clock, client, notifier)
    await asyncio.sleep(0)
    client.answers.clear()
    clock.turn(30)
    await item.run_once()
    await item.run_once()
    assert await states(database) == {"delivered": 6}


async def test_a_new_url_is_not_judged_by_the_old_one(database: Database) -> None:
    """What was in flight to the old address ends after the new one was set."""

    gone = asyncio.Event()
    client, notifier = FakeClient(answers={"one.example": gone}), FakeNotifier()
    await endpoint(database, "https://one.example/")
    await happen(database, 3)
    await relay_all(database)
    item = deliverer(database, client, TurnedClock(), notifier=notifier)

    async def answer_gone(_: object) -> OutboundReply:
        await gone.wait()
        return OutboundReply(410, b"", False, 0)

    client._answer = answer_gone  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(item.run_once())
    await until(lambda: len(client.sent) == 3)
    await endpoint(database, "https://two.example/")
    gone.set()
    await task
    assert (await seen(database)).breaker is Breaker.CLOSED
    assert notifier.notices == []


def got(client: FakeClient, count: int) -> bool:
    return len(client.bodies("e1.example")) == count


async def test_many_dead_endpoints_leave_the_places_of_the_living(database: Database) -> None:
    never = asyncio.Event()
    client, clock = FakeClient(LASTING_S), TurnedClock()
    for to in range(1, 61):
        await endpoint(database, f"https://e{to}.example/", to=to)
        await happen(database, 20, to=to)
        if to > 2:
            client.answers[f"e{to}.example"] = DEAD
    await relay_all(database)
    limits = type(QUICK)(in_flight=16, per_endpoint=4, reserve=8, idle_s=0.02)
    item = deliverer(database, client, clock, breaker=BREAKER, limits=limits)
    async with running(item):
        await until(lambda: len(client.bodies("e1.example") + client.bodies("e2.example")) == 40)
        # From now on the dead ones do not even answer.
        for to in range(3, 61):
            client.answers[f"e{to}.example"] = never
        clock.turn(30)
        for _ in range(5):
            more = len(client.bodies("e1.example")) + 5
            await happen(database, 5, to=1)
            clock.turn(1)
            await until(partial(got, client, more))
        never.set()


async def test_an_endpoint_that_is_not_there_cannot_be_enabled(database: Database) -> None:
    await endpoint(database, "https://one.example/")
    known = await endpoint_id(database)
    await endpoint(database, "")
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError, match="no webhook endpoint"):
            await enable_endpoint(tx, known)


SLOW = BreakerPolicy(in_a_row=6, in_a_row_s=3600)


async def one_failing(database: Database, clock: TurnedClock, *clients: FakeClient) -> list[Any]:
    """Workers over one endpoint that gets an event every twenty minutes."""
    await endpoint(database, "https://one.example/")
    return [
        deliverer(database, each, clock, breaker=SLOW, notifier=FakeNotifier()) for each in clients
    ]


async def an_event_later(database: Database, clock: TurnedClock, item: Any) -> None:
    await happen(database)
    await relay_all(database)
    clock.turn(1200)
    await item.run_once()


async def test_a_dead_endpoint_with_little_to_do_opens_too(database: Database) -> None:
    """Never ten attempts in a minute, and each worker sees only some of them."""

    clock = TurnedClock()
    workers = await one_failing(
        database, clock, *(FakeClient(answers={"one.example": 500}) for _ in range(2))
    )
    rounds = 0
    while (await seen(database)).breaker is Breaker.CLOSED:
        await an_event_later(database, clock, workers[rounds % 2])
        rounds += 1
    found = await seen(database)
    assert rounds == 4, "an hour after the first failure, six failures being there by then"
    assert found.reason == "none has succeeded for long, the last: 500"
    assert found.opened_at == clock.now()


async def test_one_success_begins_the_row_anew(database: Database) -> None:
    clock, client = TurnedClock(), FakeClient(answers={"one.example": 500})
    (failing,) = await one_failing(database, clock, client)
    for _ in range(5):
        for _ in range(2):
            await an_event_later(database, clock, failing)
        client.answers.clear()
        await an_event_later(database, clock, failing)
        client.answers["one.example"] = 500
        async with database.connection() as connection:
            (row,) = await connection.fetch(
                "SELECT failures, failing_since, breaker FROM webhook_endpoints"
            )
        assert tuple(row) == (0, None, "closed")


async def test_an_answer_of_one_endpoint_is_none_of_another(database: Database) -> None:
    clock, client = TurnedClock(), FakeClient(answers={"one.example": 500, "two.example": 500})
    (failing,) = await one_failing(database, clock, client)
    await endpoint(database, "https://two.example/", "timestamp.tree")
    for _ in range(2):
        await happen(database, 1, "timestamp.tree")
        await an_event_later(database, clock, failing)
    client.answers = {"one.example": 500}
    await happen(database, 1, "timestamp.tree")
    await an_event_later(database, clock, failing)
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT url LIKE '%one.example%' AS dead, failures > 0 AS failing"
            " FROM webhook_endpoints"
        )
    assert {row["dead"]: row["failing"] for row in rows} == {True: True, False: False}


async def test_an_answer_is_written_for_its_own_endpoint_and_url(database: Database) -> None:
    await endpoint(database, "https://one.example/")
    await endpoint(database, "https://two.example/", "timestamp.tree")
    async with database.transaction() as tx:
        await tx.execute("UPDATE webhook_endpoints SET failures = 3, failing_since = now()")
        two = await tx.fetchval("SELECT id FROM webhook_endpoints WHERE url LIKE '%two%'")
        counted = "SELECT failures FROM webhook_endpoints ORDER BY url"
        left = []
        for url in ("https://three.example/", "https://two.example/"):
            answered = BreakerChange(two, url, Finding.ANSWERED, "200", TurnedClock().now())
            await judge(tx, answered)
            left.append([row["failures"] for row in await tx.fetch(counted)])
    assert left == [[3, 3], [3, 0]]


async def test_attempts_that_fail_at_once_do_not_make_it_dead(database: Database) -> None:
    clock, client = TurnedClock(), FakeClient(answers={"one.example": 500})
    (failing,) = await one_failing(database, clock, client)
    await happen(database, 9)
    await relay_all(database)
    await failing.run_once()
    async with database.connection() as connection:
        (row,) = await connection.fetch("SELECT failures, breaker FROM webhook_endpoints")
    assert tuple(row) == (9, "closed")
