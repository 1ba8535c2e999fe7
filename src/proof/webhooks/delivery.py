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
import time
from collections import Counter, deque
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from proof.core.clock import Clock
from proof.core.errors import UnavailableError
from proof.core.loop import Again, Loop
from proof.db import Database
from proof.events import PUBLISHED, relay, waiting
from proof.webhooks import endpoint_queries, queries
from proof.webhooks.attempts import Client, Judge, Result, attempt
from proof.webhooks.breaker import BreakerPolicy, Finding, Window
from proof.webhooks.mail import LogNotifier
from proof.webhooks.recording import Recorder
from proof.webhooks.schedule import Schedule
from proof.webhooks.service import fan_out
from proof.webhooks.signing import KeyRing, Rings, SecretRing
from proof.webhooks.types import Change, ClaimedDelivery, Limits, Notifier

# A receiver that needs longer than this gets only the few places of those that hang.
_SLOW_S = 2.0
_SUSPECT_IN_FLIGHT = 2
_SUSPECT_SHARE = 4

# The part of a lease beside the attempt itself: waiting for a place, recording while the database is slow,
# pauses of the worker.
_LEASE_MARGIN_S = 50
_GATHER_S = 0.03
_ABANDONED_AT_ONCE = 1000
# While deliveries are under way, endpoints that became slow are looked for, and what others relayed.
_AGAIN_S = 0.2


class Line:
    """One endpoint's deliveries in this process."""

    def __init__(self, url: str, policy: BreakerPolicy) -> None:
        self.url = url
        self.window = Window(policy)
        self.waiting: deque[ClaimedDelivery] = deque()
        # By claim and not by delivery, because after the lease a process may claim a delivery again that it
        # still has in flight.
        self.started: dict[int, float] = {}
        self.answers: bool | None = None
        self.filled = False
        self.listed = False

    @property
    def held(self) -> int:
        return len(self.waiting) + len(self.started)

    def is_slow(self, now_s: float) -> bool:
        """Whether the oldest attempt in flight is overdue."""
        return bool(self.started) and now_s - next(iter(self.started.values())) > _SLOW_S

    def is_suspect(self, now_s: float) -> bool:
        return self.answers is False or self.is_slow(now_s)


class Lines:
    """What a process holds of each endpoint: deliveries in flight, and claimed ones that wait their turn.

    A line that hangs or fails must not cost the others their places, so how much a line may hold follows
    from how its endpoint does: unknown, it gets `per_endpoint`; answering, it may also keep deliveries
    ahead and use the reserve; failing or slow, it keeps two in flight and none ahead, and all such lines
    together a quarter of the places. A partner environment has a share of them, however many endpoints.
    """

    def __init__(self, limits: Limits, policy: BreakerPolicy) -> None:
        self._limits = limits
        self._policy = policy
        self._lines: dict[UUID, Line] = {}
        self._turn: deque[Line] = deque()
        self._owned: Counter[int] = Counter()
        self.in_flight = 0
        self.waiting = 0

    def __getitem__(self, endpoint_id: UUID) -> Line:
        return self._lines[endpoint_id]

    def add(self, claimed: Iterable[ClaimedDelivery]) -> None:
        """Take in what was claimed."""
        for delivery in claimed:
            line = self._lines.get(delivery.endpoint_id)
            if line is None:
                line = self._lines[delivery.endpoint_id] = Line(delivery.url, self._policy)
            elif line.url != delivery.url:
                # Another URL is another receiver: what is known of the one before does not count.
                line.url, line.answers = delivery.url, None
                line.window.clear()
            line.waiting.append(delivery)
            self.waiting += 1
            self._list(line)

    def take(self) -> ClaimedDelivery | None:
        """The next delivery to attempt, endpoints in turn; None when no place is free for one."""
        limits = self._limits
        for _ in range(len(self._turn)):
            line = self._turn.popleft()
            line.listed = False
            if not line.waiting:
                continue
            reserve = limits.reserve if line.answers else 0
            owner = line.waiting[0].partner_environment_id
            if (
                self.in_flight >= limits.in_flight + reserve
                or self._owned[owner] >= limits.per_owner
            ):
                self._list(line)
                continue
            delivery = line.waiting.popleft()
            self.waiting -= 1
            self._owned[owner] += 1
            line.started[id(delivery)] = time.monotonic()
            self.in_flight += 1
            self._list(line)
            return delivery
        return None

    def done(self, delivery: ClaimedDelivery, result: Result | None) -> Line:
        """An attempt ended, or was not made (None)."""
        line = self._lines[delivery.endpoint_id]
        del line.started[id(delivery)]
        self.in_flight -= 1
        self._owned[delivery.partner_environment_id] -= 1
        if not self._owned[delivery.partner_environment_id]:
            del self._owned[delivery.partner_environment_id]
        if result is not None and not result.ours:
            line.answers = result.delivered
        self._list(line)
        return line

    def wants_more(self, line: Line) -> bool:
        """Whether a claim for this line is worth its round trip now."""
        return line.filled and len(line.waiting) <= self._limits.ahead // 2

    def rooms(self) -> tuple[dict[UUID, int], dict[UUID, int], int, int]:
        """For a claim: what each line holds, what it may still get, what an unknown endpoint may get,
        and how many deliveries in all."""
        now_s, limits = time.monotonic(), self._limits
        self._forget_idle()
        suspects = {
            endpoint_id for endpoint_id, line in self._lines.items() if line.is_suspect(now_s)
        }
        tried = sum(len(self._lines[endpoint_id].started) for endpoint_id in suspects)
        allowed = _SUSPECT_IN_FLIGHT if tried < limits.in_flight // _SUSPECT_SHARE else 0
        answering = sum(1 for line in self._lines.values() if line.answers)
        ahead = min(limits.ahead, max(limits.waiting - self.waiting, 0) // max(answering, 1))
        free = limits.in_flight - self.in_flight
        unknown = limits.per_endpoint if free > 0 else 0
        rooms: dict[UUID, int] = {}
        for endpoint_id, line in self._lines.items():
            if endpoint_id in suspects:
                room = min(allowed, limits.per_endpoint) - line.held if free > 0 else 0
            elif line.answers:
                room = limits.per_endpoint + ahead - line.held
            else:
                room = unknown - line.held
            rooms[endpoint_id] = max(room, 0)
        most = max(limits.waiting - self.waiting if answering else 0, free, 0)
        return (
            {endpoint_id: line.held for endpoint_id, line in self._lines.items()},
            rooms,
            unknown,
            most,
        )

    def note_filled(self, claimed: Iterable[ClaimedDelivery], rooms: dict[UUID, int]) -> None:
        """Remember which lines got all they had room for: more may be due for them."""
        counts: dict[UUID, int] = {}
        for delivery in claimed:
            counts[delivery.endpoint_id] = counts.get(delivery.endpoint_id, 0) + 1
        for endpoint_id, line in self._lines.items():
            room = rooms.get(endpoint_id, self._limits.per_endpoint)
            line.filled = room == 0 or counts.get(endpoint_id, 0) >= room

    def shed(self, line: Line) -> list[ClaimedDelivery]:
        """Take out what waits in a line, to be given back."""
        waiting, line.waiting = list(line.waiting), deque()
        self.waiting -= len(waiting)
        return waiting

    def shed_slow(self) -> list[ClaimedDelivery]:
        """What waits behind attempts that hang."""
        now_s = time.monotonic()
        slow = [line for line in self._lines.values() if line.waiting and line.is_slow(now_s)]
        return [delivery for line in slow for delivery in self.shed(line)]

    def shed_all(self) -> list[ClaimedDelivery]:
        """Everything that waits."""
        return [delivery for line in self._lines.values() for delivery in self.shed(line)]

    def _list(self, line: Line) -> None:
        if not line.listed and line.waiting and len(line.started) < self._limits.per_endpoint:
            line.listed = True
            self._turn.append(line)

    def _forget_idle(self) -> None:
        """Endpoints nothing was sent to for a while are unknown again."""
        if len(self._lines) > self._limits.waiting:
            self._lines = {
                endpoint_id: line for endpoint_id, line in self._lines.items() if line.held
            }


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
        self._relaying = Loop("relay events", self._relay, self._limits.idle_s, (PUBLISHED,))
        self._claiming = Loop(
            "claim deliveries", self._claim_more, self._limits.idle_s, (queries.CHANGED,)
        )
        self._recording = Loop("record deliveries", self._record, self._limits.idle_s)
        self._abandoning = Loop(
            "abandon deliveries", self.abandon, self._limits.idle_s, (queries.CHANGED,)
        )

    @property
    def loops(self) -> tuple[Loop, ...]:
        """What `run` repeats, for whoever watches whether it fails."""
        return self._relaying, self._claiming, self._recording, self._abandoning

    async def run(self, stop: asyncio.Event) -> None:
        """Relay, claim, send and record until `stop`; then finish the attempts in flight."""
        self._stopping = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recording.run())
                loops = (self._relaying, self._claiming, self._abandoning)
                feeding = [group.create_task(loop.run()) for loop in loops]
                await stop.wait()
                self._stopping = True
                for loop in loops:
                    loop.stop()
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
        async with self._db.connection() as connection:
            if not await waiting(connection):
                return False
        async with self._db.transaction() as tx:
            relayed = await relay(tx, self._limits.relayed)
            created = await fan_out(tx, relayed)
        if created:
            self._claiming.wake()
        return len(relayed) == self._limits.relayed

    async def _claim_more(self) -> Again:
        self._give_back(self._lines.shed_slow())
        if await self._claim() or self._lines.in_flight or self._lines.waiting:
            return _AGAIN_S
        now = self._clock.now()
        async with self._db.connection() as connection:
            due_at = await queries.next_due(connection, now)
        return False if due_at is None else (due_at - now).total_seconds()

    async def _record(self) -> bool:
        # What is due later than the next look is found by that.
        soon = self._clock.now() + timedelta(seconds=self._claiming.longest_wait_s)
        claimable = self._recorder.makes_due(soon)
        if not self._stopping and self._recorder.may_wait():
            # No delivery waits for these to be recorded, and larger batches leave PostgreSQL more time for
            # claims.
            await asyncio.sleep(_GATHER_S)
        if await self._recorder.write() or claimable:
            self._claiming.wake()
        return False

    async def _claim(self) -> int:
        held, rooms, unknown, most = self._lines.rooms()
        now = self._clock.now()
        end = now + self._lease
        async with self._db.connection() as connection:
            claimed = await queries.claim(connection, now, held, unknown, most, end, rooms)
            probes = await queries.claim_probes(connection, now, self._limits.per_endpoint, end)
            owners = {probe.partner_environment_id for probe in (*claimed, *probes)}
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
