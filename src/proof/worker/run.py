"""One worker process: its loops, and stopping them in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from uuid import UUID, uuid4

from proof.core.errors import UnavailableError
from proof.core.loop import SAFETY_S, Again, Loop, when_due
from proof.db import Database
from proof.db.heartbeats import beat, stop_beating
from proof.events import Listener, waking
from proof.timestamps.anchors.log.service import LogWriter
from proof.timestamps.submissions.queries import OPENED
from proof.timestamps.submissions.rounds import ROUND_AGE_S
from proof.timestamps.trees.sealing import close_due, due_in, seal_next
from proof.webhooks.delivery import Deliverer

_HEARTBEAT_S = 2.0

# Rounds that are due one after the other are sealed together.
_SEALING_S = 0.1


def heartbeat_loop(database: Database, worker: UUID, loops: Sequence[Loop]) -> Loop:
    """Speaks for all of these loops of the process."""

    async def step() -> bool:
        failing = {loop.name: loop.failing for loop in loops if loop.failing is not None}
        async with database.connection() as connection:
            await beat(connection, worker, failing)
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
        # Appending goes on while witnesses are asked, so that the next checkpoint takes all of it.
        self._writers = writers
        self._checkpoints = [
            Loop(f"{writer.environment} checkpoints", writer.publish, SAFETY_S)
            for writer in writers
        ]
        self._logs = [
            Loop(f"{writer.environment} log", _log_step(writer, checkpoints), SAFETY_S)
            for writer, checkpoints in zip(writers, self._checkpoints, strict=True)
        ]
        self._round_until = monotonic()
        seal = when_due(self._round_due_in, self._seal, _SEALING_S)
        self._sealing = Loop("sealing", seal, SAFETY_S, (OPENED,))

    @property
    def loops(self) -> Sequence[Loop]:
        """All that it repeats."""
        return [*self._own, *self._others, *self._deliverer.loops]

    @property
    def _own(self) -> Sequence[Loop]:
        return [self._sealing, *self._logs, *self._checkpoints]

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; what is under way is finished."""
        identity = uuid4()
        loops = [*self._own, *self._others]
        loops.append(heartbeat_loop(self._database, identity, self.loops))
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        delivering = asyncio.create_task(self._deliverer.run(stop))
        listener = Listener(self._database, waking(self.loops), certain=self._hear)
        listening = asyncio.create_task(listener.run())
        await stop.wait()
        listening.cancel()
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks, delivering)
        for writer in self._writers:
            await writer.close()
        with suppress(asyncio.CancelledError):
            await listening
        with suppress(UnavailableError):
            async with self._database.transaction() as tx:
                await stop_beating(tx, identity)

    def _hear(self, certainly: bool) -> None:
        for loop in self.loops:
            loop.hear(certainly)

    async def _round_due_in(self) -> float | None:
        wait_s = await due_in(self._database, ROUND_AGE_S)
        if wait_s is not None:
            return wait_s
        # Whoever opens a round while another is being sealed says nothing.
        lingering_s = self._round_until - monotonic()
        return lingering_s if lingering_s > 0 else None

    async def _seal(self) -> Again:
        await close_due(self._database, ROUND_AGE_S)
        sealed = False
        while await seal_next(self._database):
            sealed = True
        if sealed:
            self._round_until = monotonic() + ROUND_AGE_S
            for log in self._logs:
                log.wake()
        return False


def _log_step(writer: LogWriter, checkpoints: Loop) -> Callable[[], Awaitable[bool]]:
    async def step() -> bool:
        appended = await writer.append()
        if appended:
            checkpoints.wake()
        return appended > 0

    return step
