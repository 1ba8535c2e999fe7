"""Writing what attempts came to: outcomes, claims given back, verdicts about endpoints."""

import asyncio
from datetime import datetime
from urllib.parse import urlsplit

import structlog

from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.db import Connection, Database
from proof.webhooks import endpoint_queries, queries
from proof.webhooks.breaker import BreakerChange
from proof.webhooks.types import (
    AttemptOutcome,
    Breaker,
    Change,
    ClaimedDelivery,
    DeliveryState,
    EndpointNotice,
    Notifier,
)

# The pauses between the tries to write the last outcomes when the database is away at the worker's end.
_LAST_TRIES_S = (0.2, 1.0, 3.0)

# A mail server that hangs delays its own notice and nothing else.
_NOTICE_S = 30.0

_CHANGES = {
    Breaker.OPEN: Change.OPENED,
    Breaker.DISABLED: Change.DISABLED,
    Breaker.CLOSED: Change.RECOVERED,
}

_log = structlog.get_logger(__name__)


class Recorder:
    """Keeps what is to be written until it is; one writer at a time makes the batches."""

    def __init__(self, db: Database, clock: Clock, notifier: Notifier) -> None:
        self._db = db
        self._clock = clock
        self._notifier = notifier
        self.outcomes: list[AttemptOutcome] = []
        self.unsent: list[ClaimedDelivery] = []
        self.verdicts: list[BreakerChange] = []
        self._notices: set[asyncio.Task[None]] = set()

    def may_wait(self) -> bool:
        """Whether nothing hangs on writing now: no verdict, and no object's next delivery."""
        return not self.verdicts and not any(map(_lets_out, self.outcomes))

    def makes_due(self, before: datetime) -> bool:
        """Whether writing what there is puts deliveries off to a time before that, gives some back or lets
        them out."""
        return (
            bool(self.unsent)
            or any(verdict.change is Change.RECOVERED for verdict in self.verdicts)
            or any(
                each.state is DeliveryState.PENDING and each.at < before for each in self.outcomes
            )
        )

    async def write(self) -> bool:
        """Write what there is; whether ordered deliveries were let out.

        What could not be written stays for the next time. Raises DatabaseUnavailableError.
        """
        outcomes, self.outcomes = self.outcomes, []
        unsent, self.unsent = self.unsent, []
        ended = [outcome for outcome in outcomes if _lets_out(outcome)]
        try:
            if outcomes or unsent or self.verdicts:
                async with self._db.connection() as connection:
                    await self._write(connection, outcomes, unsent, ended)
                    await self._judge(connection)
        except BaseException:
            # They are written again with the next batch; an outcome that was written already counts once.
            self.outcomes = outcomes + self.outcomes
            self.unsent = unsent + self.unsent
            raise
        return bool(ended)

    async def write_last(self) -> None:
        """Write what is left, with patience but not without end; then wait for notices."""
        for pause_s in _LAST_TRIES_S:
            try:
                await self.write()
            except ProofError:
                await asyncio.sleep(pause_s)
            else:
                break
        else:
            _log.error("webhook.outcomes_unrecorded", count=len(self.outcomes))
        if self._notices:
            await asyncio.wait(self._notices)

    async def _write(
        self,
        connection: Connection,
        outcomes: list[AttemptOutcome],
        unsent: list[ClaimedDelivery],
        ended: list[AttemptOutcome],
    ) -> None:
        if ended:
            await self._record_ordered(connection, ended)
        others = [outcome for outcome in outcomes if not _lets_out(outcome)] if ended else outcomes
        if others:
            await queries.record(connection, others)
        if unsent:
            await queries.give_back(connection, unsent, self._clock.now())

    async def _record_ordered(self, connection: Connection, ended: list[AttemptOutcome]) -> None:
        objects = [
            (outcome.endpoint_id, outcome.ordered_subject)
            for outcome in ended
            if outcome.endpoint_id is not None and outcome.ordered_subject is not None
        ]
        async with connection.transaction():
            await queries.lock_endpoints(connection, list({to for to, _ in objects}))
            await queries.record(connection, ended)
            await queries.release(connection, objects, self._clock.now())

    async def _judge(self, connection: Connection) -> None:
        while self.verdicts:
            verdict = self.verdicts[0]
            changed = await endpoint_queries.judge(connection, verdict)
            self.verdicts.pop(0)
            if changed is None:
                continue
            owner, purpose, breaker, reason = changed
            self._tell(
                EndpointNotice(
                    verdict.endpoint_id,
                    owner,
                    purpose,
                    urlsplit(verdict.url).hostname or "",
                    _CHANGES[breaker],
                    reason or verdict.reason,
                    verdict.at,
                )
            )

    def _tell(self, notice: EndpointNotice) -> None:
        task = asyncio.create_task(self._notify(notice))
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _notify(self, notice: EndpointNotice) -> None:
        try:
            async with asyncio.timeout(_NOTICE_S):
                await self._notifier.endpoint_changed(notice)
        except Exception:  # noqa: BLE001 - a notice is no part of the delivery; it is logged
            _log.exception("webhook.notice_failed", endpoint_id=str(notice.endpoint_id))


def _lets_out(outcome: AttemptOutcome) -> bool:
    """Whether the object's next delivery may have waited for this one."""
    return outcome.ordered_subject is not None and outcome.state is not DeliveryState.PENDING
