"""Erasing the sheets of one-time links that nobody opened in time."""

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.db import Database
from proof.partners.handover.links import erase_expired

_LOOK_S = 30.0


def handover_loop(database: Database, clock: Clock) -> Loop:
    """Erases within half a minute of the end; any number of workers may run it."""

    async def step() -> bool:
        async with database.transaction() as tx:
            await erase_expired(tx, clock.now())
        return False

    return Loop("handovers", step, _LOOK_S)
