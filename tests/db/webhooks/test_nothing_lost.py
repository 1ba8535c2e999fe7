"""Killed workers, a database that restarts, a receiver that is down for a day: everything arrives."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
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
    endpoint,
    happen,
    relay_all,
    running,
    states,
    until,
)
from tests.support.receiver import Receiver, Reply

from proof.core.clock import SystemClock
from proof.core.errors import DatabaseUnavailableError
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.db.migrate import migrate
from proof.events import Event
from proof.outbound import OutboundClient, OutboundError, OutboundReply, Reason
from proof.webhooks import Change

LEASE_S = 60


def arrived(receiver: Receiver) -> dict[bytes, set[str]]:
    """The ids each body came with."""
    found: dict[bytes, set[str]] = {}
    for request in receiver.requests:
        found.setdefault(request.body, set()).add(request.headers["webhook-id"])
    return found


async def test_workers_killed_in_the_middle(
    database: Database, database_arguments: dict[str, Any]
) -> None:
    """Two processes get SIGKILL while they deliver; one that comes after them sends what is left."""

    with Receiver() as receiver:
        # After these it holds every reply back, so that the workers cannot be done before the kill.
        receiver.script(*[Reply(delay_s=0.02)] * 150, otherwise=Reply(delay_s=600))
        for to in (1, 2, 3):
            await endpoint(database, receiver.url(), to=to)
        events = [event for to in (1, 2, 3) for event in await happen(database, 400, to=to)]
        children = [_child(database_arguments) for _ in range(2)]
        try:
            await until(lambda: len(receiver.requests) > 150)
        finally:
            for child in children:
                child.kill()
                child.wait()
        receiver.script(otherwise=Reply())
        assert (await states(database)).get("delivered", 0) <= 150
        client, clock = (
            OutboundClient(POLICY, connect_timeout_s=120, timeout_s=120),
            TurnedClock(),
        )
        # What the workers had no time to relay.
        await relay_all(database)
        clock.turn(LEASE_S)
        while await deliverer(database, client, clock, limits=QUICK).run_once():
            clock.turn(1)
        await client.aclose()
        found = arrived(receiver)
    assert found == {event.body: {f"msg_{event.id.hex}"} for event in events}
    assert await states(database) == {"delivered": 1200}


def _child(database_arguments: dict[str, Any]) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.db.webhooks.child"],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(database_arguments).encode())
    child.stdin.close()
    return child


@asynccontextmanager
async def started(cluster: EmbeddedCluster) -> AsyncIterator[None]:
    """A running PostgreSQL. Starting and stopping block, and want a thread without a loop."""
    with ExitStack() as stack:
        stack.enter_context(await asyncio.to_thread(cluster.start))
        try:
            yield
        finally:
            await asyncio.to_thread(stack.close)


@pytest.mark.timeout(600)
async def test_the_database_restarts_while_webhooks_are_sent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Twice; the second time it is away for longer than attempts take."""

    cluster = EmbeddedCluster(tmp_path_factory.mktemp("c"))
    client, clock, events = FakeClient(), FastClock(), list[Event]()
    async with started(cluster):
        await migrate(asdict(cluster.connection("owner")), cluster.connection("app").user)
        database = await Database.open(asdict(cluster.connection("app")))
        await endpoint(database, "https://one.example/")
        stop = asyncio.Event()
        item = deliverer(database, Slow(client), clock, limits=QUICK)
        task = asyncio.create_task(item.run(stop))
        events += await happen(database, 300)
        await until(lambda: len(client.sent) > 40)
    for away_s in (0.1, 1.5):
        await asyncio.sleep(away_s)
        async with started(cluster):
            events += await published(database, 300)
            await until(partial(sent_more, client, len(client.sent) + 40))
    async with started(cluster):
        await until(lambda: all_delivered(database, len(events)))
        stop.set()
        await task
        await database.close()
    ids: dict[str, set[bytes]] = {}
    for _, body, headers in client.sent:
        ids.setdefault(headers["webhook-id"], set()).add(body)
    assert ids == {f"msg_{event.id.hex}": {event.body} for event in events}


def sent_more(client: FakeClient, than: int) -> bool:
    return len(client.sent) > than


async def published(database: Database, count: int) -> list[Event]:
    """Events, as soon as the database takes them."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await happen(database, count)
            except DatabaseUnavailableError:
                await asyncio.sleep(0.05)


async def all_delivered(database: Database, count: int) -> bool:
    try:
        return await states(database) == {"delivered": count}
    except DatabaseUnavailableError:
        return False


class FastClock(TurnedClock):
    """Twenty seconds in each: a lease ends after three."""

    def __init__(self) -> None:
        self._started, self._started_s = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._started + timedelta(seconds=1 + 20 * (time.monotonic() - self._started_s))


class Slow:
    """A client that takes a few milliseconds, so that something is always in flight."""

    timeout_s = 10.0

    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        await asyncio.sleep(0.05)
        return await self._client.post(url, body, headers)


async def test_a_receiver_that_is_down_for_a_day(database: Database) -> None:
    """A busy endpoint: the breaker opens, probes it, and lets everything through when it is back."""

    down = OutboundError("one.example", Reason.CONNECT)
    client, clock, notifier = (
        FakeClient(answers={"one.example": down}),
        TurnedClock(),
        FakeNotifier(),
    )
    await endpoint(database, "https://one.example/")
    item = deliverer(database, client, clock, notifier=notifier)
    events = []
    for _ in range(48):
        events += await happen(database, 20)
        await relay_all(database)
        for _ in range(4):
            await item.run_once()
            clock.turn(450)
    assert await states(database) == {"pending": 960}
    client.answers.clear()
    for _ in range(4):
        clock.turn(3600)
        while await item.run_once():
            pass
    # Those that were tried before it opened wait for their schedule, at most a day.
    clock.turn(86_400 * 1.2)
    while await item.run_once():
        pass
    assert await states(database) == {"delivered": 960}
    ids = {headers["webhook-id"] for _, _, headers in client.sent}
    assert ids == {f"msg_{event.id.hex}" for event in events}
    assert notifier.changes == [Change.OPENED, Change.RECOVERED]


async def test_a_quiet_endpoint_that_is_down_for_a_day(database: Database) -> None:
    """Too little traffic for a breaker: the schedule alone carries it over the day."""

    client, clock = FakeClient(answers={"one.example": 502}), TurnedClock()
    await endpoint(database, "https://one.example/")
    (event,) = await happen(database)
    await relay_all(database)
    item, started = deliverer(database, client, clock), clock.now()
    while clock.now() - started < timedelta(days=1):
        await item.run_once()
        clock.turn(60)
    client.answers.clear()
    while await states(database) != {"delivered": 1}:
        assert clock.now() - started < timedelta(days=4)
        await item.run_once()
        clock.turn(60)
    assert {headers["webhook-id"] for _, _, headers in client.sent} == {f"msg_{event.id.hex}"}


async def test_two_workers_and_a_receiver_that_fails_at_random(database: Database) -> None:
    chosen = random.Random(7)
    clock = TurnedClock()
    accepted: Counter[str] = Counter()

    class Moody(FakeClient):
        async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Any:
            self.answers["one.example"] = chosen.choice([200, 200, 200, 500])
            reply = await super().post(url, body, headers)
            if reply.status == 200:
                accepted[headers["webhook-id"]] += 1
            return reply

    await endpoint(database, "https://one.example/")
    first, second = (deliverer(database, Moody(LASTING_S), clock, limits=QUICK) for _ in range(2))

    async def done() -> bool:
        clock.turn(5)
        return await states(database) == {"delivered": 300}

    events = []
    async with running(first), running(second):
        for _ in range(10):
            events += await happen(database, 30)
        await until(done)
    assert accepted == {f"msg_{event.id.hex}": 1 for event in events}


async def test_stopping_gives_back_what_was_not_sent(database: Database) -> None:
    """Another worker need not wait for a lease, and no attempt is used up."""

    held = asyncio.Event()
    client = FakeClient()
    await endpoint(database, "https://one.example/")
    await happen(database, 5)
    await relay_all(database)
    clock = SystemClock()
    stop = asyncio.Event()
    task = asyncio.create_task(
        deliverer(database, client, clock, limits=QUICK).run(stop)  # type: ignore[arg-type]
    )

    async def first() -> bool:
        return await states(database) == {"delivered": 5}

    await until(first)
    client.answers["one.example"] = held
    await happen(database, 60)

    async def claimed() -> bool:
        async with database.connection() as connection:
            taken = await connection.fetchval(
                "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending' AND attempts = 1"
            )
        # The rows are claimed a moment before the attempts that fit begin.
        return bool(taken == 60) and len(client.sent) == 5 + 16

    await until(claimed)
    stop.set()
    held.set()
    await task
    assert len(client.sent) == 5 + 16
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT attempts, next_attempt_at <= now() AS due FROM webhook_deliveries"
            " WHERE state = 'pending'"
        )
    assert [(row["attempts"], row["due"]) for row in rows] == [(0, True)] * 44
