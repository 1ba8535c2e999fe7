"""The loops that write trees into chains."""

from collections.abc import Sequence

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.db import Database
from proof.timestamps.anchors.anchoring import Anchorer
from proof.timestamps.anchors.overview import EnabledChain

# A block takes minutes on one chain and seconds on the other; a look costs a few local calls.
_LOOK_S = 2.0


def anchoring_loops(database: Database, clock: Clock, chains: Sequence[EnabledChain]) -> list[Loop]:
    """One loop a chain and environment, so that no chain waits for another's node."""
    return [_loop(database, clock, each) for each in chains]


def _loop(database: Database, clock: Clock, enabled: EnabledChain) -> Loop:
    anchorer = Anchorer(database, clock, enabled.environment, enabled.chain, enabled.schedule)

    async def step() -> bool:
        await anchorer.step()
        return False

    return Loop(f"{enabled.environment} {enabled.chain.currency.name} anchoring", step, _LOOK_S)
