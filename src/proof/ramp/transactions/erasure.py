"""Erasing a person: everything that says who they are, wherever it is.

What stays is the transactions with a made-up user, their events with hashes whose salts are gone, and that
somebody was erased; bodies of events that are kept name the made-up user too. The user's own id is erased,
so a partner that sends it again begins anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.events import rewrite_bodies
from proof.partners import audit
from proof.partners.audit import Actor
from proof.partners.environments import environment_names
from proof.ramp import personal, users
from proof.ramp.providers import callbacks
from proof.ramp.providers.callbacks import forget_naming
from proof.ramp.sessions import erasure as sessions
from proof.ramp.transactions import queries
from proof.ramp.transactions.events import refund_subject, without_person
from proof.ramp.users import User

ForgetReplies = Callable[[Connection, int, Sequence[str]], Awaitable[None]]
"""Forgets what was answered to the webhooks about a partner environment's subjects: a receiver may repeat
what it was sent."""


@dataclass(frozen=True, slots=True)
class ErasureCounts:
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
    forget_replies: ForgetReplies,
) -> ErasureCounts:
    """Erase a partner's user in both environments, in the caller's transaction. Audited under the made-up
    name, since the audit log is kept for ever.

    Raises NotFoundError for a partner or user there is not, SealError.
    """
    owners = await environment_names(tx, partner_id)
    named = await users.lock(tx, owners, partner_user_id)
    if not named:
        raise NotFoundError(f"{partner_id} never sent this user, or the user is erased already")
    total = ErasureCounts(0, 0, 0, 0)
    for user in named:
        erase = await _erase(tx, vault, user, partner_user_id, now, forget_replies)
        environment = owners[user.partner_environment_id][1].value
        after = {"environment": environment, "transactions": erase.transactions}
        await audit.record(tx, actor, "user.erase", partner_id, after=after)
        total = ErasureCounts(
            total.users + 1,
            total.transactions + erase.transactions,
            total.values + erase.values,
            total.callbacks + erase.callbacks,
        )
    return total


async def _erase(
    tx: Connection,
    vault: Vault,
    user: User,
    partner_user_id: str,
    now: datetime,
    forget_replies: ForgetReplies,
) -> ErasureCounts:
    ids = await queries.transactions_of(tx, user.id)
    words = {partner_user_id, *map(str, ids)}
    for each in ids:
        words.update((await personal.read(tx, vault, each)).values())
    name = await users.erase(tx, user.id, now)
    owner = user.partner_environment_id
    subjects = [subject for each in ids for subject in (str(each), refund_subject(each))]
    await rewrite_bodies(tx, owner, subjects, lambda body: without_person(body, name))
    await forget_replies(tx, owner, subjects)
    values = await personal.erase(tx, ids)
    await sessions.forget(tx, ids)
    bodies = await callbacks.forget(tx, ids)
    bodies += await forget_naming(tx, vault, owner, words)
    return ErasureCounts(1, len(ids), values, bodies)
