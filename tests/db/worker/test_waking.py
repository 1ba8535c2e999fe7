"""A worker is woken by what causes its work, and asks little of a database in which nothing happens."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from tests.db.webhooks.scene import FakeClient, endpoint, endpoint_id, happen, ring, until
from tests.support.application import POLICY, Platform, Stage
from tests.support.notices import notices_of
from tests.support.partners import issued, onboard, owner_of
from tests.support.ramp import chain_of, hear, make_transaction, said
from tests.support.sessions import open_session, ramp_partner

from proof.core import loop as loop_module
from proof.core.clock import SystemClock
from proof.core.loop import HEARD_S, SAFETY_S, Loop
from proof.db import Connection, Database
from proof.events import PUBLISHED, waking
from proof.outbound import OutboundClient
from proof.partners import audit
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp import clock as sandbox_clock
from proof.ramp.providers.protocols import ProviderStatus, Reach
from proof.ramp.providers.registry import Premises, Providers, backgrounds
from proof.ramp.transactions import polling
from proof.ramp.transactions.unstamped import RECORDED
from proof.receipts.stamping import OWNERS, Stamper
from proof.timestamps.proofs.errors import ProofNotYetError, UnknownHashError
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.queries import OPENED
from proof.timestamps.types import NO_CHAINS, Currency
from proof.verify import verify_payload
from proof.webhooks import Deliverer, Limits, Schedule, queries
from proof.webhooks.replay import Selection, replay
from proof.webhooks.service import enable_endpoint, set_ordering
from proof.webhooks.types import Ordering
from proof.worker.loops import audit_loops, provider_loops, ramp_loops, stamping_loop
from proof.worker.run import Worker, heartbeat_loop

# Whatever is found within a test was told of, or due at a time that was known.
NEVER_S = 24 * 3600.0
URL = "https://e1.example/"


class Resting(dict[asyncio.Event, float]):
    """How long each loop waits that waits now, and how often each was woken."""

    def __init__(self) -> None:
        super().__init__()
        self.woken: Counter[str] = Counter()


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> Resting:
    found = Resting()
    really, wake = loop_module._wait, Loop.wake

    def counted(loop: Loop) -> None:
        found.woken[loop.name] += 1
        wake(loop)

    async def noted(event: asyncio.Event, timeout_s: float) -> None:
        found[event] = timeout_s
        try:
            await really(event, timeout_s)
        finally:
            del found[event]

    monkeypatch.setattr(loop_module, "_wait", noted)
    monkeypatch.setattr(Loop, "wake", counted)
    return found


@asynccontextmanager
async def hired(
    platform: Platform, database: Database, client: FakeClient, limits: Limits
) -> AsyncIterator[Worker]:
    """A worker with all loops that somebody could wake."""
    at, clock = platform, SystemClock()
    schedule = Schedule(delays_s=(0, 0.3))
    deliverer = Deliverer(database, client, ring, clock, schedule, limits)
    asking = OutboundClient(POLICY)
    providers = Providers(Reach(asking, database, clock))
    premises = Premises(database, at.vault, clock, at.base_urls)
    async with backgrounds(premises) as steps:
        others = [
            *audit_loops(database, clock),
            *ramp_loops(database, at.vault, providers, clock),
            *provider_loops(steps),
            stamping_loop(database, clock, NO_CHAINS),
        ]
        writers = list(at.writers.values())
        for writer in writers:
            writer._database = database
        yield Worker(database, writers, deliverer, others)
    await asking.aclose()


class LosingDatabase(Database):
    """Loses the connections outside the pool when told: here those that listen."""

    def __init__(self, real: Database) -> None:
        super().__init__(real._pool, real._arguments)
        self._given: list[Any] = []

    async def dedicated(self) -> Any:
        self._given.append(await super().dedicated())
        return self._given[-1]

    def lose(self) -> None:
        for connection in self._given:
            connection.terminate()


@asynccontextmanager
async def asleep(
    platform: Platform, resting: Resting, client: FakeClient
) -> AsyncIterator[tuple[LosingDatabase, Callable[[], bool]]]:
    """A worker that never looks unasked, and has gone to rest; yields its database and whether it rests."""
    limits, database = Limits(idle_s=NEVER_S), LosingDatabase(platform.database)
    stop = asyncio.Event()
    async with hired(platform, database, client, limits) as worker:
        for loop in worker.loops:
            loop._idle_s = NEVER_S
        task = asyncio.create_task(worker.run(stop))

        def rests() -> bool:
            return all(
                resting.get(loop._woken, 0) > NEVER_S / 2 and not loop._woken.is_set()
                for loop in worker.loops
            )

        try:
            # Nothing else wakes the provider's loop than the listener, and that wakes all at once.
            (last,) = [loop for loop in worker.loops if loop.name == "provider sandbox"]
            await until(lambda: resting.woken[last.name])
            await until(rests)
            yield database, rests
        finally:
            stop.set()
            await task


async def submitted(platform: Platform, label: str) -> None:
    owner = await owner_of(platform.database, await onboard(platform.database, platform.vault))
    committer = Committer(platform.database)
    committer.start()
    await committer.commit(owner.id, owner.environment, [sha256(label.encode()).digest()])
    await committer.close()


async def recorded(database: Database) -> None:
    async with database.transaction() as tx:
        await audit.record(tx, Actor("cli"), "test.acted")


async def logged(platform: Platform) -> bool:
    (row,) = await platform.fetch(
        "SELECT (SELECT count(*) FROM rounds WHERE NOT logged) = 0"
        " AND EXISTS (SELECT FROM log_checkpoints) AS all"
    )
    return bool(row["all"])


async def spoken_of(platform: Platform) -> list[bytes]:
    """The records of a transaction whose session was opened, and which then was paid for."""
    shop = await ramp_partner(platform)
    opened = await open_session(platform, shop)
    made = UUID(opened.json["merchant_transaction_id"])
    await hear(platform.database, platform.vault, said(made, ProviderStatus.PROCESSING))
    return await chain_of(platform.database, made)


async def proved(platform: Platform, records: list[bytes]) -> bool:
    """Whether each record has a proof in the log, which verifies."""
    proofs = Proofs(platform.database, SystemClock())
    owner = OWNERS[Environment.SANDBOX]
    for record in records:
        digest = sha256(record).digest()
        try:
            payload = await proofs.proof(owner, digest, Currency.LOG)
        except (ProofNotYetError, UnknownHashError):
            return False
        assert verify_payload(payload).leaf == digest
    return len(records) == 2


async def chained(platform: Platform) -> bool:
    (row,) = await platform.fetch("SELECT NOT EXISTS (SELECT FROM audit_unchained) AS all")
    return bool(row["all"])


def test_work_is_done_when_it_is_told_of_or_due(alone: Stage, resting: Resting) -> None:
    platform, client = alone.platform, FakeClient(answers={"e1.example": 503})

    async def scene() -> None:
        async with asleep(platform, resting, client) as (_, rests):
            # Two partners: of the second round, opened beside the first, nobody is told.
            await submitted(platform, "first")
            await submitted(platform, "second")
            await until(lambda: logged(platform))

            await endpoint(platform.database, URL)
            await happen(platform.database)
            await until(lambda: client.sent)
            # Tried again when it is due, which nobody tells.
            client.answers.clear()
            await until(lambda: len(client.sent) == 2)
            await until(rests)
            selection = Selection(1)
            assert await replay(platform.database, selection, SystemClock().now()) == 1
            await until(lambda: len(client.sent) == 3)

            await recorded(platform.database)
            await until(lambda: chained(platform))
            await until(rests)

            records = await spoken_of(platform)
            await until(lambda: proved(platform, records))
            await until(rests)

    alone.run(scene())


def test_a_worker_that_hears_looks_unasked_more_seldom(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        database, stop = LosingDatabase(platform.database), asyncio.Event()
        async with hired(platform, database, FakeClient(), Limits()) as worker:
            task = asyncio.create_task(worker.run(stop))

            def waits() -> set[float]:
                return {loop.longest_wait_s for loop in worker.loops}

            assert waits() == {SAFETY_S}
            await until(lambda: waits() == {HEARD_S})
            stop.set()
            await task
            # The connection that heard is gone.
            assert waits() == {SAFETY_S}

    alone.run(scene())


def test_what_was_told_while_nobody_listened_is_found(alone: Stage, resting: Resting) -> None:
    platform, client = alone.platform, FakeClient()

    async def scene() -> None:
        async with asleep(platform, resting, client) as (database, rests):
            database.lose()
            await recorded(platform.database)
            await submitted(platform, "unheard")
            await until(lambda: chained(platform))
            await until(lambda: logged(platform))
            await until(rests)

    alone.run(scene())


class CountingDatabase(Database):
    """Counts the statements of each transaction or connection taken."""

    statements = 0

    def __init__(self, real: Database) -> None:
        super().__init__(real._pool, real._arguments)

    def _count(self, _query: object) -> None:
        self.statements += 1

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with super().connection() as connection:
            with connection.query_logger(self._count):
                yield connection


# What each loop asks when it looks and there is nothing to do. A transaction is BEGIN and COMMIT beside.
ASKED = {
    "sealing": 1,
    "production log": 1,
    "production checkpoints": 1,
    "sandbox log": 1,
    "sandbox checkpoints": 1,
    "audit chain": 1,
    "audit heads": 1,
    "callbacks": 3,
    "reconciler": 1,
    "provider sandbox": 1,
    "stamping": 1,
    "relay events": 1,
    "claim deliveries": 3,
    "record deliveries": 0,
    "abandon deliveries": 1,
}


def test_an_idle_worker_asks_little_and_seldom(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> Counter[str]:
        asked: Counter[str] = Counter()
        await recorded(platform.database)
        database = CountingDatabase(platform.database)
        async with hired(platform, database, FakeClient(), Limits()) as worker:
            for _ in range(2):
                for loop in worker.loops:
                    before = database.statements
                    await loop._step()
                    asked[loop.name] = database.statements - before
                # The head of the audit log was submitted in the first turn.
                await platform.seal()
            assert {loop._idle_s for loop in worker.loops} == {SAFETY_S}
            database.statements = 0
            beating = heartbeat_loop(database, UUID(int=1), worker.loops)
            await beating._step()
            assert database.statements == 1
        return asked

    found = alone.run(scene())
    assert found == ASKED


Act = Callable[[Platform], Awaitable[object]]


async def _asked(platform: Platform) -> None:
    owner = await _sandbox(platform)
    made = await make_transaction(platform.database, platform.vault, owner)
    async with platform.database.transaction() as tx:
        await polling.ask_now(tx, [(made, owner)], SystemClock().now())


async def _advanced(platform: Platform) -> None:
    owner = await _sandbox(platform)
    async with platform.database.transaction() as tx:
        await sandbox_clock.advance(tx, owner, 60, SystemClock())


async def _sandbox(platform: Platform) -> int:
    partner = await onboard(platform.database, platform.vault)
    return issued(partner, Environment.SANDBOX).partner_environment_id


async def _enabled(platform: Platform) -> None:
    async with platform.database.transaction() as tx:
        await enable_endpoint(tx, await endpoint_id(platform.database))


async def _unordered(platform: Platform) -> None:
    async with platform.database.transaction() as tx:
        await set_ordering(tx, await endpoint_id(platform.database), Ordering.NONE)


async def _told(platform: Platform) -> None:
    made = await make_transaction(platform.database, platform.vault, await _sandbox(platform))
    await hear(platform.database, platform.vault, said(made, ProviderStatus.PROCESSING))


CAUSES: list[tuple[str, Act]] = [
    (OPENED, lambda platform: submitted(platform, "told")),
    (PUBLISHED, lambda platform: happen(platform.database)),
    (audit.WRITTEN, lambda platform: recorded(platform.database)),
    (polling.WANTED, _asked),
    (sandbox_clock.ADVANCED, _advanced),
    (queries.CHANGED, lambda platform: endpoint(platform.database, URL)),
    (queries.CHANGED, _enabled),
    (queries.CHANGED, _unordered),
    (queries.CHANGED, lambda platform: endpoint(platform.database, "")),
    (RECORDED, _told),
]


def test_each_cause_is_told(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        for channel, act in CAUSES:
            assert await notices_of(platform.database, {channel}, act(platform)) == {channel}
        # The first round waits to be sealed, so whoever seals looks by itself.
        assert not await notices_of(platform.database, {OPENED}, submitted(platform, "untold"))
        await platform.seal()
        assert await notices_of(platform.database, {OPENED}, submitted(platform, "again"))
        # So does whoever stamps, while a record waits.
        assert not await notices_of(platform.database, {RECORDED}, _told(platform))
        while await Stamper(platform.database, SystemClock()).stamp():
            pass
        assert await notices_of(platform.database, {RECORDED}, _told(platform))

    alone.run(scene())


def test_every_channel_wakes_a_loop(alone: Stage) -> None:
    async def woken() -> set[str]:
        async with hired(alone.platform, alone.platform.database, FakeClient(), Limits()) as worker:
            return set(waking(worker.loops))

    assert {channel for channel, _ in CAUSES} <= alone.run(woken())


def test_a_loop_is_woken_by_its_channels_alone() -> None:
    async def step() -> bool:
        return False

    first, second = Loop("first", step, 1, ("a", "b")), Loop("second", step, 1, ("b",))
    heard = waking([first, second])
    heard["a"]()
    assert first._woken.is_set()
    assert not second._woken.is_set()
    heard["b"]()
    assert second._woken.is_set()
