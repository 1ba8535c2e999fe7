"""Erasing a person: everything that says who they are, wherever it is.

What stays is the transactions with a made-up user, their events with hashes whose salts are gone, and that
somebody was erased. The user's own id is erased too, so a partner that sends it again begins anew.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners import audit
from proof.partners.audit import Actor
from proof.partners.environments import environment_names
from proof.ramp import personal
from proof.ramp.providers import callbacks
from proof.ramp.providers.searching import forget_naming
from proof.ramp.sessions import erasure as sessions

_LOCK = """
SELECT id, partner_environment_id FROM ramp_users
WHERE partner_environment_id = ANY($1::integer[]) AND partner_user_id = $2 ORDER BY id FOR UPDATE
"""

# Until an erased user's last transaction has ended, statements about it may come, and are erased in turn.
_FORGET = """
UPDATE ramp_users SET partner_user_id = $2, erased_at = $3, kyc = 'not_started' WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased: users of the two environments, their transactions, values and callbacks."""

    users: int
    transactions: int
    values: int
    callbacks: int


async def erase_user(
    tx: Connection,
    vault: Vault,
    partner_id: str,
    partner_user_id: str,
    actor: Actor,
    now: datetime,
) -> Erased:
    """Erase a partner's user in both environments, in the caller's transaction. Audited under the made-up
    name, since the audit log is kept for ever.

    Raises NotFoundError for a partner or user there is not, SealError.
    """
    owners = await environment_names(tx, partner_id)
    # PostgreSQL takes no NUL and no half of a surrogate pair; sessions with such an id are refused.
    sendable = partner_user_id.isprintable()
    rows = await tx.fetch(_LOCK, list(owners), partner_user_id) if sendable else []
    if not rows:
        raise NotFoundError(f"{partner_id} never sent this user, or the user is erased already")
    total = Erased(0, 0, 0, 0)
    for row in rows:
        owner = row["partner_environment_id"]
        one = await _erase(tx, vault, owner, row["id"], partner_user_id, now)
        after = {"environment": owners[owner][1].value, "transactions": one.transactions}
        await audit.record(tx, actor, "user.erase", partner_id, after=after)
        total = Erased(
            total.users + 1,
            total.transactions + one.transactions,
            total.values + one.values,
            total.callbacks + one.callbacks,
        )
    return total


async def _erase(
    tx: Connection, vault: Vault, owner: int, user_id: int, partner_user_id: str, now: datetime
) -> Erased:
    rows = await tx.fetch("SELECT id FROM ramp_transactions WHERE user_id = $1", user_id)
    ids: list[UUID] = [row["id"] for row in rows]
    words = {partner_user_id, *map(str, ids)}
    for each in ids:
        words.update((await personal.read(tx, vault, each)).values())
    await tx.execute(_FORGET, user_id, f"erased-{uuid4()}", now)
    values = await personal.erase(tx, ids)
    await sessions.forget(tx, ids)
    bodies = await callbacks.forget(tx, ids) + await forget_naming(tx, vault, owner, words)
    return Erased(1, len(ids), values, bodies)
