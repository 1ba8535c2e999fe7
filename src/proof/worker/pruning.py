"""Deleting what is kept for a while only."""

from datetime import timedelta

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.db import Database
from proof.partners.refusals import keep_weeks

_LOOK_S = 3600.0


def refusals_loop(database: Database, clock: Clock, kept: timedelta) -> Loop:
    """Dropping weeks of refusals older than `kept`, and making those to come."""

    async def step() -> bool:
        await keep_weeks(database, clock.now(), kept)
        return False

    return Loop("refusals", step, _LOOK_S)
