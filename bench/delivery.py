"""Webhooks: deliveries against a bare aiohttp loop, jobs through PostgreSQL, a dead endpoint's cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import aiohttp
import asyncpg

from bench.figures import Figure, Target, compared
from bench.installation import HOST, database_only, module, superuser
from bench.options import Options
from proof.core.clock import SystemClock
from proof.db import Connection, Database
from proof.events import Event, publish, relay
from proof.main.parts.database import arguments
from proof.outbound import OutboundClient, OutboundPolicy, OutboundReply
from proof.webhooks import Deliverer, Limits, fan_out, queries, set_endpoint
from proof.webhooks.types import AttemptOutcome, DeliveryState

_POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
_TYPE = "timestamp.proof"
_BODY_BYTES = 2_000
_PUBLISHED_AT_ONCE = 5_000
# As many requests are in flight on both sides: four endpoints of sixteen each.
_ENDPOINTS = 4
_CONNECTIONS = 64
_JOB_ENDPOINTS = 100
# What the deliverer asks for when a hundred endpoints have work and answer.
_JOB_BATCH = Limits().waiting
_JOB_SHARE = _JOB_BATCH // _JOB_ENDPOINTS
_LEASE = timedelta(minutes=5)
_LIVE_ENDPOINTS = 100
_EVENTS_PER_TICK = 4
_TICK_S = 0.02
_DEAD = 1_000
_DEAD_QUEUED = 10_000


def run(options: Options) -> list[Figure]:
    """Three figures, each over an embedded database of its own."""
    figures: list[Figure] = []
    with module("bench.sink") as port:
        for measure in (_rate, _jobs, _isolation):
            with database_only() as settings:
                stage = Stage(port, arguments(settings, "app"), superuser(settings), options)
                figures += asyncio.run(measure(stage))
    return figures


@dataclass(frozen=True)
class Stage:
    """A receiver and a database."""

    port: int
    app: dict[str, Any]
    superuser: dict[str, Any]
    options: Options

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}/{path}"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = await Database.open(self.app)
        try:
            yield database
        finally:
            await database.close()

    async def execute(self, *statements: str) -> None:
        """As the superuser."""
        connection = await asyncpg.connect(**self.superuser)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


class _CountingClient(OutboundClient):
    """Says when so many replies have come."""

    def expect(self, count: int) -> asyncio.Event:
        self._left, self._all = count, asyncio.Event()
        return self._all

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        reply = await super().post(url, body, headers)
        self._left -= 1
        if not self._left:
            self._all.set()
        return reply


async def _rate(stage: Stage) -> list[Figure]:
    """Deliveries a second from due to recorded, against posting the same bodies and no more."""
    rounds, count = (3, 3_000) if stage.options.quick else (7, 20_000)
    ours: list[float] = []
    theirs: list[float] = []
    async with stage.database() as database:
        await _endpoints(database, {n: stage.url(f"e{n}") for n in range(1, _ENDPOINTS + 1)})
        for _ in range(rounds):
            theirs.append(await _bare(stage, count))
            await _queue(database, range(1, _ENDPOINTS + 1), count)
            ours.append(await _delivered(database, count))
            stage.options.say(f"  bare {theirs[-1]:,.0f}, proof {ours[-1]:,.0f} deliveries/s")
        async with database.connection() as connection:
            left = await connection.fetchval(
                "SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered' OR attempts <> 1"
            )
    if left:
        raise AssertionError(f"{left} deliveries were not delivered at the first attempt")
    return [compared("delivery", "deliveries/s", ours, theirs, Target("at least", 0.5))]


async def _delivered(database: Database, count: int) -> float:
    client, stop = _CountingClient(_POLICY), asyncio.Event()
    expected = client.expect(count)
    started = time.perf_counter()
    task = asyncio.create_task(Deliverer(database, client, _ring, SystemClock()).run(stop))
    await expected.wait()
    stop.set()
    await task
    elapsed_s = time.perf_counter() - started
    await client.aclose()
    return count / elapsed_s


async def _bare(stage: Stage, count: int) -> float:
    bodies = iter([_body(n) for n in range(count)])
    headers = {"content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> None:
            for body in bodies:
                async with session.post(stage.url("bare"), data=body, headers=headers) as response:
                    await response.read()

        started = time.perf_counter()
        await asyncio.gather(*(post() for _ in range(_CONNECTIONS)))
        return count / (time.perf_counter() - started)


async def _jobs(stage: Stage) -> list[Figure]:
    """Deliveries a second that are claimed, body and all, and recorded as delivered."""
    rounds, count = (2, 20_000) if stage.options.quick else (5, 100_000)
    rates: list[float] = []
    owners = range(1, _JOB_ENDPOINTS + 1)
    async with stage.database() as database:
        await _endpoints(database, {n: stage.url(f"e{n}") for n in owners})
        for _ in range(rounds):
            await _queue(database, owners, count)
            await stage.execute("VACUUM ANALYZE webhook_deliveries", "VACUUM ANALYZE outbox")
            rates.append(await _job_rate(database, count))
            stage.options.say(f"  {rates[-1]:,.0f} jobs/s claimed and finished")
    target = Target("at least", 25_000)
    return [Figure("jobs claimed and finished", "jobs/s", _median(rates), target=target)]


async def _job_rate(database: Database, count: int) -> float:
    """One connection claims while another records, as in the deliverer."""
    clock, finished = SystemClock(), 0
    started = time.perf_counter()

    async def claim() -> list[AttemptOutcome]:
        now = clock.now()
        async with database.connection() as connection:
            claimed = await queries.claim(connection, now, {}, _JOB_SHARE, _JOB_BATCH, now + _LEASE)
        return [
            AttemptOutcome(item.id, item.attempt, DeliveryState.DELIVERED, "200", now, now)
            for item in claimed
        ]

    async def record(outcomes: Sequence[AttemptOutcome]) -> None:
        async with database.connection() as connection:
            await queries.record(connection, outcomes)

    outcomes = await claim()
    while outcomes:
        finished += len(outcomes)
        outcomes, _ = await asyncio.gather(claim(), record(outcomes))
    if finished != count:
        raise AssertionError(f"{finished} of {count} jobs were claimed")
    return count / (time.perf_counter() - started)


async def _isolation(stage: Stage) -> list[Figure]:
    """How long events of live endpoints take from commit to arrival, a dead one beside them or not."""
    rounds, duration_s = (2, 3.0) if stage.options.quick else (5, 15.0)
    ours: list[float] = []
    theirs: list[float] = []
    async with stage.database() as database:
        urls = {n: stage.url(f"e{n}") for n in range(1, _LIVE_ENDPOINTS + 1)}
        await _endpoints(database, urls | {_DEAD: stage.url("dead")})
        await _queue(database, [_DEAD], _DEAD_QUEUED)
        for _ in range(rounds):
            for results, queued in ((theirs, False), (ours, True)):
                await stage.execute(*_dead(queued), "VACUUM ANALYZE webhook_deliveries")
                results.append(await _p99_ms(stage, database, duration_s))
            stage.options.say(
                f"  p99 {theirs[-1]:.1f} ms alone, {ours[-1]:.1f} ms beside a dead one"
            )
    name = "p99 beside a dead endpoint"
    return [compared(name, "ms", ours, theirs, Target("at most", 1.5))]


def _dead(queued: bool) -> Sequence[str]:
    """The dead endpoint's deliveries are all due, or over; its breaker knows nothing yet."""
    state = "pending" if queued else "failed"
    owned = f"(SELECT id FROM webhook_endpoints WHERE partner_environment_id = {_DEAD})"
    revive = (
        "UPDATE webhook_endpoints SET breaker = 'closed', reason = NULL, opened_at = NULL,"
        f" probe_at = NULL, failed_probes = 0, disabled_at = NULL WHERE id IN {owned}"
    )
    queue = (
        f"UPDATE webhook_deliveries SET state = '{state}', attempts = 0, due_at = now(),"
        f" next_attempt_at = now() WHERE endpoint_id IN {owned}"
    )
    return revive, queue


async def _p99_ms(stage: Stage, database: Database, duration_s: float) -> float:
    client, stop = OutboundClient(_POLICY), asyncio.Event()
    task = asyncio.create_task(Deliverer(database, client, _ring, SystemClock()).run(stop))
    await _ages_ms(stage)
    owners = range(1, _LIVE_ENDPOINTS + 1)
    published, deadline = 0, time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        to = [owners[(published + n) % len(owners)] for n in range(_EVENTS_PER_TICK)]
        async with database.transaction() as tx:
            await publish(tx, [_event(item, b"%020d" % time.time_ns()) for item in to])
        published += len(to)
        await asyncio.sleep(_TICK_S)
    ages = await _ages_ms(stage)
    while len(ages) < published:
        await asyncio.sleep(0.1)
        ages += await _ages_ms(stage)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await client.aclose()
    return sorted(ages)[len(ages) * 99 // 100]


async def _ages_ms(stage: Stage) -> list[float]:
    async with aiohttp.ClientSession() as session, session.get(stage.url("")) as response:
        ages: list[float] = await response.json(content_type=None)
        return ages


async def _ring(_connection: Connection, _owner: int) -> Sequence[bytes]:
    return (bytes(32),)


async def _endpoints(database: Database, urls: Mapping[int, str]) -> None:
    async with database.transaction() as tx:
        for owner, url in urls.items():
            await set_endpoint(tx, _POLICY, owner, _TYPE, url)


async def _queue(database: Database, owners: Sequence[int], count: int) -> None:
    """Deliveries that are due, spread over the owners."""
    for start in range(0, count, _PUBLISHED_AT_ONCE):
        numbers = range(start, min(start + _PUBLISHED_AT_ONCE, count))
        async with database.transaction() as tx:
            await publish(tx, [_event(owners[n % len(owners)], _body(n)) for n in numbers])
            await fan_out(tx, await relay(tx, len(numbers)))


def _event(owner: int, body: bytes) -> Event:
    return Event(owner, _TYPE, f"{owner} {time.perf_counter_ns()}", body)


def _body(number: int) -> bytes:
    return b'{"number":%d,"filling":"' % number + b"x" * _BODY_BYTES + b'"}'


def _median(rates: Sequence[float]) -> float:
    return sorted(rates)[len(rates) // 2]
