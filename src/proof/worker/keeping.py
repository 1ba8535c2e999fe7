"""The loops over the audit log and the session signing keys.

Any number of workers may run them at once: the chain and each ring are under a lock, and a head that is
submitted twice is submitted once.
"""

from datetime import timedelta

from proof.core.clock import Clock
from proof.core.loop import Loop
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners import audit_chain
from proof.partners.audit import Actor
from proof.partners.signing import delete_expired, rotate_due
from proof.partners.types import Environment
from proof.timestamps.proofs.audit_heads import submit_head

# Until an entry is chained, only the rights of the application role protect it.
_CHAIN_EVERY_S = 0.5
_LOOK_FOR_HEAD_S = 2.0
_LOOK_AT_KEYS_S = 60.0
_WORKER = Actor("worker")


def audit_loops(database: Database, clock: Clock) -> list[Loop]:
    """Chaining what was written to the audit log, and submitting the chain's heads."""

    async def chain() -> bool:
        return await audit_chain.extend(database) == audit_chain.BATCH

    async def heads() -> bool:
        await submit_head(database, clock)
        return False

    return [
        Loop("audit chain", chain, _CHAIN_EVERY_S),
        Loop("audit heads", heads, _LOOK_FOR_HEAD_S),
    ]


def signing_loop(database: Database, vault: Vault, clock: Clock, max_age: timedelta) -> Loop:
    """Rotating session signing keys that are older than `max_age`, deleting those that are over."""

    async def step() -> bool:
        await keep_rings(database, vault, clock, max_age)
        return False

    return Loop("signing keys", step, _LOOK_AT_KEYS_S)


async def keep_rings(database: Database, vault: Vault, clock: Clock, max_age: timedelta) -> None:
    """Rotate what is due and delete what is over, once."""
    for environment in Environment:
        async with database.transaction() as tx:
            await rotate_due(tx, vault, environment, _WORKER, clock.now(), max_age)
    async with database.transaction() as tx:
        await delete_expired(tx, _WORKER, clock.now())
