"""One worker process: its loops, and stopping them in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import UUID, uuid4

from proof.core.errors import UnavailableError
from proof.core.loop import Loop
from proof.db import Database
from proof.db.heartbeats import beat, stop_beating
from proof.events import PUBLISHED, Listener
from proof.timestamps.anchors.log.service import LogWriter
from proof.timestamps.submissions.rounds import ROUND_AGE_S
from proof.timestamps.trees.sealing import close_due, seal_next
from proof.webhooks.delivery import Deliverer

_HEARTBEAT_S = 2.0

# How long a due round may go unnoticed.
_SEALING_S = 0.1

# Sealing wakes the logs; what another worker left behind is found at last after this. Each look locks the
# log's head, which PostgreSQL writes to the disk.
_LOGS_S = 1.0


def heartbeat_loop(database: Database, worker: UUID, loops: Sequence[Loop]) -> Loop:
    """Speaks for all of these loops of the process."""

    async def step() -> bool:
        failing = {loop.name: loop.failing for loop in loops if loop.failing is not None}
        async with database.transaction() as tx:
            await beat(tx, worker, failing)
        return False

    return Loop("heartbeat", step, _HEARTBEAT_S)


class Worker:
    """Seals rounds, writes the logs, delivers webhooks, runs the `others`. Any number of workers may run
    at once: rows are claimed, heads are locked."""

    def __init__(
        self,
        database: Database,
        writers: Sequence[LogWriter],
        deliverer: Deliverer,
        others: Sequence[Loop] = (),
    ) -> None:
        self._database = database
        self._deliverer = deliverer
        self._others = others
        # A log that refuses to sign must delay neither sealing nor the other environment's log.
        self._logs = [
            Loop(f"{writer.environment} log", _log_step(writer), _LOGS_S) for writer in writers
        ]
        self._sealing = Loop("sealing", self._seal, _SEALING_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; what is under way is finished."""
        loops = [self._sealing, *self._logs, *self._others]
        identity = uuid4()
        speaking = [*loops, *self._deliverer.loops]
        loops.append(heartbeat_loop(self._database, identity, speaking))
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        delivering = asyncio.create_task(self._deliverer.run(stop))
        listener = Listener(self._database, PUBLISHED, self._deliverer.wake)
        listening = asyncio.create_task(listener.run())
        await stop.wait()
        listening.cancel()
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks, delivering)
        with suppress(asyncio.CancelledError):
            await listening
        with suppress(UnavailableError):
            async with self._database.transaction() as tx:
                await stop_beating(tx, identity)

    async def _seal(self) -> bool:
        await close_due(self._database, ROUND_AGE_S)
        sealed = False
        while await seal_next(self._database):
            sealed = True
        if sealed:
            for log in self._logs:
                log.wake()
        return False


def _log_step(writer: LogWriter) -> Callable[[], Awaitable[bool]]:
    async def step() -> bool:
        appended = await writer.append()
        return await writer.publish() or appended > 0

    return step
