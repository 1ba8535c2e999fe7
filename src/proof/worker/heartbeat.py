"""Telling, every two seconds, that this worker is alive and what of its work fails."""

from collections.abc import Sequence
from uuid import UUID

from proof.core.loop import Loop
from proof.db import Database
from proof.db.heartbeats import beat

_EVERY_S = 2.0


def heartbeat_loop(database: Database, worker: UUID, loops: Sequence[Loop]) -> Loop:
    """Speaks for all of these loops of the process."""

    async def step() -> bool:
        failing = {loop.name: loop.failing for loop in loops if loop.failing is not None}
        async with database.transaction() as tx:
            await beat(tx, worker, failing)
        return False

    return Loop("heartbeat", step, _EVERY_S)
