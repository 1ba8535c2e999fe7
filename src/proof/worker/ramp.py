"""The loops of the ramp: applying callbacks, asking providers, forgetting what is old."""

from datetime import timedelta

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp import personal
from proof.ramp.providers import callbacks
from proof.ramp.sessions.queries import KEPT, prune_keys
from proof.ramp.transactions.processing import BATCH, Adapters, process
from proof.ramp.transactions.reconciler import Reconciler

# How long a callback waits at most before it is applied, and a due transaction before it is looked at.
_CALLBACKS_S = 0.2
_LOOK_S = 0.5
_PRUNE_S = 60.0
_PRUNED_AT_ONCE = 1000


def ramp_loops(database: Database, vault: Vault, adapters: Adapters, clock: Clock) -> list[Loop]:
    """Applying callbacks and asking providers; any number of workers may run them."""
    reconciler = Reconciler(database, vault, adapters, clock)

    async def apply() -> bool:
        return await process(database, vault, adapters, clock) == BATCH

    return [
        Loop("callbacks", apply, _CALLBACKS_S),
        Loop("reconciler", reconciler.step, _LOOK_S),
    ]


def ramp_pruning_loop(
    database: Database, clock: Clock, client_ips: timedelta, bodies: timedelta
) -> Loop:
    """Erasing client IPs and callbacks' bodies older than that, and idempotency keys past their day, in
    small batches; any number of workers may run it."""

    async def step() -> bool:
        return await prune(database, clock, client_ips, bodies)

    return Loop("ramp pruning", step, _PRUNE_S)


async def prune(database: Database, clock: Clock, client_ips: timedelta, bodies: timedelta) -> bool:
    """One batch of each; whether there may be more."""
    now, most = clock.now(), _PRUNED_AT_ONCE
    async with database.transaction() as tx:
        ips = await personal.prune_client_ips(tx, now - client_ips, most)
    async with database.transaction() as tx:
        erased = await callbacks.prune(tx, now - bodies, most)
    async with database.transaction() as tx:
        keys = await prune_keys(tx, now - KEPT, most)
    return max(ips, erased, keys) >= most
