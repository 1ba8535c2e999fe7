"""Delivery of webhooks, at least once.

The walk of one event, and what is true if the process stops after a step:

1. Relayed: the event has its cursor and its deliveries, in one transaction. Stop before it and the
   event is still unrelayed; after it, the deliveries are rows that are due.
2. Claimed: a delivery's next attempt lies a lease ahead and counts as begun; it waits in memory for
   its turn. Stop here and it is due again when the lease ends; the unmade attempt is one of its
   schedule. A process that stops in order gives it back instead, uncounted.
3. Sent. Stop here and the receiver may have it while we do not know: it is sent again when the
   lease ends, with the same `webhook-id`.
4. Recorded: delivered, or due again by the schedule, or failed. Only this ends an attempt. In the
   same transaction the next of an ordered object becomes due.

No transaction is open over step 3.
"""

import asyncio
from datetime import timedelta

from proof.core.clock import Clock
from proof.core.errors import UnavailableError
from proof.core.loop import Loop
from proof.db import Database
from proof.events import relay
from proof.webhooks import endpoint_queries, queries
from proof.webhooks.attempts import Client, Result, attempt
from proof.webhooks.breaker import BreakerPolicy, Finding
from proof.webhooks.judging import Judge
from proof.webhooks.lines import Line, Lines
from proof.webhooks.notices import Change, LogNotifier, Notifier
from proof.webhooks.recording import Recorder
from proof.webhooks.rings import KeyRing, Rings, SecretRing
from proof.webhooks.schedule import Schedule
from proof.webhooks.service import fan_out
from proof.webhooks.types import ClaimedDelivery, Limits

# Beyond the attempt itself: waiting for its turn, a recording that waits for the database, a worker's
# pauses.
_LEASE_MARGIN_S = 50

_GATHER_S = 0.03

_ABANDONED_AT_ONCE = 1000
_ABANDON_EVERY_S = 1.0


class Deliverer:
    """Relays the outbox to endpoints. Several may work on one database; one `run` in each."""

    def __init__(
        self,
        db: Database,
        client: Client,
        secrets: SecretRing,
        clock: Clock,
        schedule: Schedule | None = None,
        limits: Limits | None = None,
        *,
        keys: KeyRing | None = None,
        breaker: BreakerPolicy | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._db = db
        self._client = client
        self._clock = clock
        self._limits = limits or Limits()
        policy = breaker or BreakerPolicy()
        self._timeout = timedelta(seconds=client.timeout_s)
        self._lease = self._timeout + timedelta(seconds=_LEASE_MARGIN_S)
        self._rings = Rings(db, secrets, keys)
        self._lines = Lines(self._limits, policy)
        self._recorder = Recorder(db, clock, notifier or LogNotifier())
        self._judge = Judge(clock, schedule or Schedule(), policy)
        self._attempts: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._relaying = Loop("relay events", self._relay, self._limits.idle_s)
        self._claiming = Loop("claim deliveries", self._claim_more, self._limits.idle_s)
        self._recording = Loop("record deliveries", self._record, self._limits.idle_s)
        self._abandoning = Loop("abandon deliveries", self.abandon, _ABANDON_EVERY_S)

    @property
    def loops(self) -> tuple[Loop, ...]:
        """What `run` repeats, for whoever watches whether it fails."""
        return self._relaying, self._claiming, self._recording

    def wake(self) -> None:
        """Events were committed: look now instead of at the next interval."""
        self._relaying.wake()

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

    async def run(self, stop: asyncio.Event) -> None:
        """Relay, claim, send and record until `stop`; then finish the attempts in flight."""
        self._stopping = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recording.run())
                loops = (self._relaying, self._claiming, self._abandoning)
                feeding = [group.create_task(one.run()) for one in loops]
                await stop.wait()
                self._stopping = True
                for one in loops:
                    one.stop()
                await asyncio.gather(*feeding)
                self._recorder.unsent += self._lines.shed_all()
                while self._attempts:
                    await asyncio.wait(self._attempts)
                self._recording.stop()
            await self._recorder.write_last()
        finally:
            for task in self._attempts:
                task.cancel()

    async def abandon(self) -> bool:
        """Give up some of what is pending for endpoints removed; whether there may be more.

        Raises DatabaseUnavailableError.
        """
        async with self._db.connection() as connection:
            given_up = await endpoint_queries.abandon(connection, _ABANDONED_AT_ONCE)
        return given_up == _ABANDONED_AT_ONCE

    async def _relay(self) -> bool:
        async with self._db.transaction() as tx:
            relayed = await relay(tx, self._limits.relayed)
            created = await fan_out(tx, relayed)
        if created:
            self._claiming.wake()
        return len(relayed) == self._limits.relayed

    async def _claim_more(self) -> bool:
        self._give_back(self._lines.shed_slow())
        await self._claim()
        return False

    async def _record(self) -> bool:
        if not self._stopping and self._recorder.may_wait():
            # Nobody waits for these, and larger batches leave PostgreSQL more time for claims.
            await asyncio.sleep(_GATHER_S)
        if await self._recorder.write():
            self._claiming.wake()
        return False

    async def _claim(self) -> int:
        held, rooms, unknown, most = self._lines.rooms()
        now = self._clock.now()
        end = now + self._lease
        async with self._db.connection() as connection:
            claimed = await queries.claim(connection, now, held, unknown, most, end, rooms)
            probes = await queries.claim_probes(connection, now, self._limits.per_endpoint, end)
            owners = {one.partner_environment_id for one in (*claimed, *probes)}
            await self._rings.load(connection, owners)
        self._lines.add((*probes, *claimed))
        self._lines.note_filled(claimed, rooms)
        self._start()
        return len(claimed) + len(probes)

    def _start(self) -> None:
        """Begin attempts while there are places."""
        while not self._stopping and (delivery := self._lines.take()) is not None:
            task = asyncio.create_task(self._work(delivery))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)

    async def _work(self, delivery: ClaimedDelivery) -> None:
        """Attempt one delivery after another: a place is kept as long as there is work for it."""
        following: ClaimedDelivery | None = delivery
        while following is not None:
            await self._attempt(following)
            following = None if self._stopping else self._lines.take()

    async def _attempt(self, delivery: ClaimedDelivery) -> None:
        result: Result | None = None
        try:
            if self._clock.now() + self._timeout <= delivery.lease_end:
                result = await self._send(delivery)
        finally:
            line = self._lines.done(delivery, result)
            if result is None:
                self._recorder.unsent.append(delivery)
            else:
                self._conclude(line, delivery, result)
            self._recording.wake()
            if self._lines.wants_more(line):
                self._claiming.wake()

    async def _send(self, delivery: ClaimedDelivery) -> Result | None:
        """None when nothing was sent, for want of the database."""
        try:
            ring = await self._rings.of(delivery.partner_environment_id)
        except UnavailableError:
            return None
        return await attempt(self._client, self._clock, delivery, ring)

    def _conclude(self, line: Line, delivery: ClaimedDelivery, result: Result) -> None:
        self._recorder.outcomes.append(self._judge.outcome(delivery, result))
        verdict = self._judge.verdict(line.window, delivery, result)
        if verdict is not None:
            self._recorder.verdicts.append(verdict)
            if verdict.change not in (Change.RECOVERED, Finding.ANSWERED):
                self._give_back(self._lines.shed(line))

    def _give_back(self, deliveries: list[ClaimedDelivery]) -> None:
        if deliveries:
            self._recorder.unsent += deliveries
            self._recording.wake()
