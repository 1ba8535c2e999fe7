"""What the webhook tests are set in: a clock to turn, a client with faults, events and their rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from proof.db import Connection, Database
from proof.events import Event, publish, relay
from proof.outbound import OutboundPolicy, OutboundReply
from proof.webhooks import (
    Change,
    Deliverer,
    EndpointNotice,
    Limits,
    Schedule,
    fan_out,
    set_endpoint,
)
from proof.webhooks.attempts import Client
from proof.webhooks.inspection import DeliveryRecord, Search, search_deliveries
from proof.webhooks.service import list_endpoints
from proof.webhooks.types import Endpoint

POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
SECRETS = (b"n" * 32, b"o" * 32)
Answer = int | Exception | asyncio.Event | OutboundReply
STEADY = Schedule(random=lambda: 0.5)


class TurnedClock:
    """Starts far enough from now that rows the database dates during a slow test are due, and near
    enough that receivers still take our signatures' time; moves when told."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC) + timedelta(minutes=2)

    def now(self) -> datetime:
        return self.moment

    def turn(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class FakeClient:
    """Answers each host with a status, an error, or a wait; keeps what was sent."""

    timeout_s: float = 10
    answers: dict[str, Answer] = field(default_factory=dict)
    sent: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)
    most_open: dict[str, int] = field(default_factory=dict)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        host = urlsplit(url).hostname or ""
        self.sent.append((host, body, dict(headers)))
        self.open[host] = self.open.get(host, 0) + 1
        self.most_open[host] = max(self.open[host], self.most_open.get(host, 0))
        try:
            return await self._answer(self.answers.get(host, 200))
        finally:
            self.open[host] -= 1

    async def _answer(self, answer: Answer) -> OutboundReply:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return OutboundReply(200, b"", False, 0)
        if isinstance(answer, OutboundReply):
            return answer
        return OutboundReply(answer, b"", False, 0)

    def bodies(self, host: str) -> list[bytes]:
        return [body for to, body, _ in self.sent if to == host]


async def ring(_: Connection, __: int) -> Sequence[bytes]:
    """The same two secrets for everybody."""
    return SECRETS


class SteppedDeliverer(Deliverer):
    """A deliverer that works while a test waits for it, instead of in the background."""

    async def run_once(self) -> int:
        """Attempt what is due now and record each outcome as it comes; how many were claimed.

        Raises DatabaseUnavailableError; outcomes not recorded then are recorded by the next call.
        Not to be called while `run` is at work.
        """
        started = await self._claim()
        while self._attempts:
            await asyncio.wait(self._attempts, return_when=asyncio.FIRST_COMPLETED)
            await self._recorder.write()
        await self._recorder.write()
        return started


def deliverer(
    database: Database, client: Client, clock: TurnedClock, **how: Any
) -> SteppedDeliverer:
    how = {"secrets": ring, "schedule": STEADY, **how}
    return SteppedDeliverer(database, client, clock=clock, **how)


async def endpoint(
    database: Database, url: str, purpose: str = "timestamp.proof", to: int = 1
) -> None:
    async with database.transaction() as tx:
        await set_endpoint(tx, POLICY, to, purpose, url)


async def happen(
    database: Database,
    count: int = 1,
    type: str = "timestamp.proof",  # noqa: A002 - an event's own word
    to: int = 1,
    subject: str | None = None,
) -> list[Event]:
    """Publish events of so many objects, or of one; their bodies are distinct."""
    events = [
        Event(to, type, subject or f"s{n}", b'{"to":%d,"n":%d}' % (to, n)) for n in range(count)
    ]
    async with database.transaction() as tx:
        await publish(tx, events)
    return events


async def endpoint_id(database: Database, to: int = 1) -> UUID:
    async with database.connection() as connection:
        (found,) = await list_endpoints(connection, to)
    return found.id


async def seen(database: Database, to: int = 1) -> Endpoint:
    async with database.connection() as connection:
        (found,) = await list_endpoints(connection, to)
    return found


@dataclass
class FakeNotifier:
    """Keeps the notices; may fail each time."""

    error: Exception | None = None
    notices: list[EndpointNotice] = field(default_factory=list)

    async def endpoint_changed(self, notice: EndpointNotice) -> None:
        self.notices.append(notice)
        if self.error is not None:
            raise self.error

    @property
    def changes(self) -> list[Change]:
        return [notice.change for notice in self.notices]


async def relay_all(database: Database) -> int:
    async with database.transaction() as tx:
        return await fan_out(tx, await relay(tx, 100_000))


async def deliveries(database: Database) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM webhook_deliveries ORDER BY id")


async def records(database: Database, to: int = 1, **wanted: Any) -> list[DeliveryRecord]:
    """What an operator finds, the newest first."""
    async with database.connection() as connection:
        found = await search_deliveries(connection, Search([to], **wanted))
    return [delivery.record for delivery in found]


async def states(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT state, count(*) AS count FROM webhook_deliveries GROUP BY state"
        )
    return {row["state"]: row["count"] for row in rows}


async def until(condition: Callable[[], Any], timeout_s: float = 120) -> None:
    """Poll a plain or asynchronous condition until it is true; TimeoutError at the deadline."""
    async with asyncio.timeout(timeout_s):
        while True:
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(item: Deliverer) -> AsyncIterator[asyncio.Event]:
    """The deliverer's loop, stopped at the end; yields its stop event."""
    stop = asyncio.Event()
    task = asyncio.create_task(item.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


QUICK = Limits(idle_s=0.02)
# A client's time limit, and so the lease, where a test turns the clock while attempts are under way.
LASTING_S = 10.0 * 86_400
