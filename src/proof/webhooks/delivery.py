"""Delivery of webhooks, at least once.

The walk of one event, and what is true if the process stops after a step:

1. Relayed: the event has its cursor and its deliveries, in one transaction. Stop before it and the
   event is still unrelayed; after it, the deliveries are rows that are due.
2. Claimed: a delivery's next attempt lies a lease ahead and counts as begun. Stop here and it is
   due again when the lease ends; the unmade attempt is one of its schedule.
3. Sent. Stop here and the receiver may have it while we do not know: it is sent again when the
   lease ends, with the same `webhook-id`.
4. Recorded: delivered, or due again by the schedule, or failed. Only this ends an attempt.

No transaction is open over step 3.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog

from proof import __version__
from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.core.loop import Loop
from proof.db import Connection, Database
from proof.events import relay
from proof.outbound import InvalidTargetError, OutboundError, OutboundReply
from proof.webhooks import queries
from proof.webhooks.schedule import Schedule
from proof.webhooks.service import fan_out
from proof.webhooks.signing import webhook_headers, x_signature
from proof.webhooks.types import ClaimedDelivery, Limits, Outcome, State

SecretRing = Callable[[Connection, int], Awaitable[Sequence[bytes]]]
"""The live webhook secrets of a partner environment, newest first."""

# Beyond the attempt itself: signing, a recording that waits for the database, a worker's pauses.
_LEASE_MARGIN_S = 50

# How often the last outcomes are offered to a database that is away when the worker is to stop.
_LAST_TRIES_S = (0.2, 1.0, 3.0)

_log = structlog.get_logger(__name__)


class Client(Protocol):
    """What sends an attempt; `OutboundClient`, or a fake with faults."""

    timeout_s: float

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        """See `OutboundClient.post`."""
        ...


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
    ) -> None:
        self._db = db
        self._client = client
        self._secrets = secrets
        self._clock = clock
        self._schedule = schedule or Schedule()
        self._limits = limits or Limits()
        self._lease = timedelta(seconds=client.timeout_s + _LEASE_MARGIN_S)
        self._attempts: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[UUID] = Counter()
        self._finished: list[Outcome] = []
        self._relaying = Loop("relay events", self._relay, self._limits.idle_s)
        self._claiming = Loop("claim deliveries", self._start_due, self._limits.idle_s)
        self._recording = Loop("record deliveries", self._record_finished, self._limits.idle_s)

    def wake(self) -> None:
        """Events were committed: look now instead of at the next interval."""
        self._relaying.wake()

    async def run_once(self) -> int:
        """Attempt what is due now and record each outcome as it comes; how many were attempted.

        Raises DatabaseUnavailableError; outcomes not recorded then are recorded by the next call.
        Not to be called while `run` is at work.
        """
        started = await self._claim_and_start()
        while self._attempts:
            await asyncio.wait(self._attempts, return_when=asyncio.FIRST_COMPLETED)
            await self._record_finished()
        await self._record_finished()
        return started

    async def run(self, stop: asyncio.Event) -> None:
        """Relay, claim, send and record until `stop`; then finish the attempts in flight."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recording.run())
                feeding = [group.create_task(one.run()) for one in (self._relaying, self._claiming)]
                await stop.wait()
                self._relaying.stop()
                self._claiming.stop()
                await asyncio.gather(*feeding)
                while self._attempts:
                    await asyncio.wait(self._attempts)
                self._recording.stop()
            await self._record_last()
        finally:
            for attempt in self._attempts:
                attempt.cancel()

    async def _relay(self) -> bool:
        async with self._db.transaction() as tx:
            relayed = await relay(tx, self._limits.relayed)
            created = await fan_out(tx, relayed)
        if created:
            self._claiming.wake()
        return len(relayed) == self._limits.relayed

    async def _start_due(self) -> bool:
        await self._claim_and_start()
        return False

    async def _claim_and_start(self) -> int:
        free = self._limits.in_flight - len(self._attempts)
        if free <= 0:
            return 0
        now = self._clock.now()
        async with self._db.connection() as connection:
            claimed = await queries.claim(
                connection,
                now,
                self._in_flight,
                self._limits.per_endpoint,
                free,
                now + self._lease,
            )
            rings = await self._rings(connection, {one.partner_environment_id for one in claimed})
        for one in claimed:
            self._in_flight[one.endpoint_id] += 1
            attempt = self._attempt(one, rings[one.partner_environment_id])
            self._attempts.add(asyncio.create_task(attempt))
        return len(claimed)

    async def _rings(
        self, connection: Connection, partner_environment_ids: set[int]
    ) -> dict[int, Sequence[bytes]]:
        """A ring that cannot be opened is empty: it fails its own deliveries, nobody else's."""
        rings: dict[int, Sequence[bytes]] = {}
        for environment in partner_environment_ids:
            try:
                rings[environment] = await self._secrets(connection, environment)
            except ProofError as error:
                _log.error(
                    "webhook secrets unavailable",
                    partner_environment_id=environment,
                    error=error.message,
                )
                rings[environment] = ()
        return rings

    async def _attempt(self, delivery: ClaimedDelivery, secrets: Sequence[bytes]) -> None:
        try:
            delivered, text = await self._send(delivery, secrets)
            self._finished.append(self._outcome(delivery, delivered, text))
        finally:
            self._in_flight[delivery.endpoint_id] -= 1
            if not self._in_flight[delivery.endpoint_id]:
                del self._in_flight[delivery.endpoint_id]
            task = asyncio.current_task()
            assert task is not None
            self._attempts.discard(task)
            self._recording.wake()
            self._claiming.wake()

    async def _send(self, delivery: ClaimedDelivery, secrets: Sequence[bytes]) -> tuple[bool, str]:
        """Whether a 2xx came, and the status or a short reason."""
        if not secrets:
            return False, "no webhook secret"
        try:
            reply = await self._client.post(
                delivery.url, delivery.body, self._headers(delivery, secrets)
            )
        except OutboundError as error:
            return False, error.reason
        except InvalidTargetError:
            return False, "refused target"
        except Exception:  # noqa: BLE001 - a fault of ours in one attempt ends no other; it is logged
            _log.exception("webhook attempt broke", delivery_id=delivery.id)
            return False, "internal error"
        return 200 <= reply.status < 300, str(reply.status)

    def _headers(self, delivery: ClaimedDelivery, secrets: Sequence[bytes]) -> dict[str, str]:
        now_s = int(self._clock.now().timestamp())
        headers = webhook_headers(delivery.event_id, now_s, delivery.body, secrets)
        headers["content-type"] = "application/json"
        headers["user-agent"] = f"Proof/{__version__}"
        if delivery.event_type.startswith("timestamp."):
            headers["x-signature"] = x_signature(secrets[0], delivery.body)
        return headers

    def _outcome(self, delivery: ClaimedDelivery, delivered: bool, text: str) -> Outcome:
        now = self._clock.now()
        if delivered:
            return Outcome(delivery.id, delivery.attempt, State.DELIVERED, text, now)
        delay_s = self._schedule.delay_s(delivery.attempt)
        if delay_s is not None:
            due = now + timedelta(seconds=delay_s)
            return Outcome(delivery.id, delivery.attempt, State.PENDING, text, due)
        _log.warning("webhook failed", delivery_id=delivery.id, outcome=text)
        return Outcome(delivery.id, delivery.attempt, State.FAILED, text, now)

    async def _record_finished(self) -> bool:
        """Write what has finished; an outcome that could not be written stays for the next time."""
        outcomes, self._finished = self._finished, []
        if not outcomes:
            return False
        try:
            async with self._db.connection() as connection:
                await queries.record(connection, outcomes)
        except BaseException:
            self._finished = outcomes + self._finished
            raise
        return False

    async def _record_last(self) -> None:
        for pause_s in _LAST_TRIES_S:
            try:
                await self._record_finished()
            except ProofError:
                await asyncio.sleep(pause_s)
            else:
                return
        _log.error("webhook outcomes not recorded, to be sent again", count=len(self._finished))
