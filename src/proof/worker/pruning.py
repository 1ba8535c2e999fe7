"""Deleting what is kept for a while only."""

from datetime import timedelta

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.db import Database
from proof.partners.refusals import prune

_LOOK_S = 60.0


def refusals_loop(database: Database, clock: Clock, kept: timedelta) -> Loop:
    """Deleting refusals older than `kept`, in small batches."""

    async def step() -> bool:
        return await prune(database, clock.now(), kept)

    return Loop("refusals", step, _LOOK_S)
