"""Changes that a partner makes to a setting of its own: one after the other, counted, and audited."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from proof.db import Connection
from proof.partners.access.rates import count_change
from proof.partners.audit import Actor, record
from proof.partners.environments import lock_partner
from proof.partners.types import PartnerEnvironment

Setting = TypeVar("Setting")


async def change_own_setting(
    tx: Connection,
    owner: PartnerEnvironment,
    actor: Actor,
    read: Callable[[], Awaitable[Setting]],
    change: Callable[[], Awaitable[None]],
    audited: Callable[[Setting], Mapping[str, Any]],
) -> Setting:
    """Make a change in the caller's transaction; the setting as it is then.

    `read` gives the setting as it is at that moment, `audited` what the audit log holds of it, which is no
    secret. A change that changes nothing is neither counted nor recorded. Raises ChangesExceededError, and
    what `change` raises: then nothing is changed.
    """
    # Two changes at once follow one another, so that each is recorded as it was.
    await lock_partner(tx, owner.partner_id)
    before = await read()
    await change()
    after = await read()
    if after != before:
        await count_change(tx, owner.id)
        states = {"before": audited(before), "after": audited(after)}
        await record(tx, actor, "setting.change", owner.partner_id, **states)
    return after
