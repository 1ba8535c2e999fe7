"""The loops of a worker: chains, the audit log, keys, the ramp, and what is kept for a while only.

Any number of workers may run each of them at once: rows are claimed, rings and heads are locked, and what
is done twice is done once.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic

from proof.core.clock import Clock
from proof.core.loop import SAFETY_S, Again, Loop, when_due
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners import audit, audit_chain
from proof.partners.access.refusals import keep_weeks
from proof.partners.audit import Actor
from proof.partners.handover.links import erase_expired
from proof.partners.keys.session_signing import delete_expired, rotate_due
from proof.partners.types import Environment
from proof.ramp import clock as sandbox_clock
from proof.ramp import personal
from proof.ramp.providers import callbacks
from proof.ramp.providers.registry import Background
from proof.ramp.sessions.queries import KEPT, prune_keys
from proof.ramp.transactions import polling
from proof.ramp.transactions.processing import BATCH, Adapters, process
from proof.ramp.transactions.reconciler import Reconciler
from proof.ramp.transactions.unstamped import RECORDED
from proof.receipts.maturing import WATCHED, Maturing
from proof.receipts.stamping import Stamper
from proof.receipts.statements import StatementMaker
from proof.timestamps.anchors.anchoring import Anchorer
from proof.timestamps.anchors.overview import EnabledChain
from proof.timestamps.proofs.audit_heads import HeadSubmitter
from proof.timestamps.types import Chains

# A block takes minutes on one chain and seconds on the other; a poll costs a few local calls.
_CHAINS_S = 2.0
_HANDOVERS_S = 30.0

_KEYS_S = 60.0
_WORKER = Actor("worker")
_REFUSALS_S = 3600.0

# While callbacks come, whoever stores one beside others says nothing: they are looked for this often, until
# none came for longer than a commit takes.
_CALLBACKS_S = 0.2
_QUIET_S = 1.0
# Transactions that are due one after the other are polled together.
_TRANSACTIONS_S = 0.5
_PRUNE_S = 60.0
_STATEMENTS_S = 60.0
_PRUNED_AT_ONCE = 1000


def anchoring_loops(database: Database, clock: Clock, chains: Sequence[EnabledChain]) -> list[Loop]:
    """One loop a chain and environment, so that no chain waits for another's node."""
    return [_anchoring_loop(database, clock, each) for each in chains]


def _anchoring_loop(database: Database, clock: Clock, enabled: EnabledChain) -> Loop:
    anchorer = Anchorer(database, clock, enabled.environment, enabled.chain, enabled.schedule)

    async def step() -> bool:
        await anchorer.step()
        return False

    return Loop(f"{enabled.environment} {enabled.chain.currency.name} anchoring", step, _CHAINS_S)


def handover_loop(database: Database, clock: Clock) -> Loop:
    """Erases within half a minute of the end; any number of workers may run it."""

    async def step() -> bool:
        async with database.transaction() as tx:
            await erase_expired(tx, clock.now())
        return False

    return Loop("handovers", step, _HANDOVERS_S)


def audit_loops(database: Database, clock: Clock) -> list[Loop]:
    """Chaining what was written to the audit log, and stamping every position of the chain."""

    async def chain() -> bool:
        chained = await audit_chain.extend(database)
        if chained:
            submitting.wake()
        return chained == audit_chain.BATCH

    submitting = Loop("audit heads", HeadSubmitter(database, clock).step, SAFETY_S)
    return [Loop("audit chain", chain, SAFETY_S, (audit.WRITTEN,)), submitting]


def signing_loop(database: Database, vault: Vault, clock: Clock, max_age: timedelta) -> Loop:
    """Rotating session signing keys that are older than `max_age`, deleting those that are over."""

    async def step() -> bool:
        await keep_rings(database, vault, clock, max_age)
        return False

    return Loop("signing keys", step, _KEYS_S)


async def keep_rings(database: Database, vault: Vault, clock: Clock, max_age: timedelta) -> None:
    """Rotate what is due and delete what is over, once."""
    for environment in Environment:
        async with database.transaction() as tx:
            await rotate_due(tx, vault, environment, _WORKER, clock.now(), max_age)
    async with database.transaction() as tx:
        await delete_expired(tx, _WORKER, clock.now())


def refusals_loop(database: Database, clock: Clock, kept: timedelta) -> Loop:
    """Dropping weeks of refusals older than `kept`, and making those to come."""

    async def step() -> bool:
        await keep_weeks(database, clock.now(), kept)
        return False

    return Loop("refusals", step, _REFUSALS_S)


def ramp_loops(database: Database, vault: Vault, adapters: Adapters, clock: Clock) -> list[Loop]:
    """Applying callbacks and asking providers; any number of workers may run them."""
    reconciler = Reconciler(database, vault, adapters, clock)
    quiet_at = monotonic()

    async def apply() -> Again:
        nonlocal quiet_at
        applied = await process(database, vault, adapters, clock)
        if applied:
            quiet_at = monotonic() + _QUIET_S
        return applied == BATCH or (_CALLBACKS_S if monotonic() < quiet_at else False)

    reconcile = when_due(reconciler.due_in, reconciler.step, _TRANSACTIONS_S)
    wanted = (polling.WANTED, sandbox_clock.ADVANCED)
    return [
        Loop("callbacks", apply, SAFETY_S, (callbacks.STORED,)),
        Loop("reconciler", reconcile, SAFETY_S, wanted),
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


def stamping_loop(database: Database, clock: Clock, chains: Chains) -> Loop:
    """Stamping the ramp's records, in the log and in `chains`; any number of workers may run it."""
    stamper = Stamper(database, clock, chains)
    return Loop("stamping", stamper.step, SAFETY_S, (RECORDED,))


def maturing_loop(database: Database, base_urls: Mapping[Environment, str]) -> Loop:
    """Telling who asked that receipts have matured; any number of workers may run it."""
    maturing = Maturing(database, base_urls)
    return Loop("maturing receipts", maturing.step, SAFETY_S, (WATCHED,))


def statements_loop(database: Database, clock: Clock, chains: Chains) -> Loop:
    """Closing days that are over, and making their statements; any number of workers may run it."""
    maker = StatementMaker(database, clock, chains)
    return Loop("statements", maker.step, _STATEMENTS_S)


def provider_loops(backgrounds: Mapping[str, Background]) -> list[Loop]:
    """What providers do by themselves, by their names; any number of workers may run them."""
    return [
        Loop(f"provider {name}", each.step, SAFETY_S, each.woken_by)
        for name, each in backgrounds.items()
    ]
