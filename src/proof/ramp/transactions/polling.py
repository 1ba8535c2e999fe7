"""When a transaction is polled, that is, its provider asked: the SQL of the schedule."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from proof.db import Connection
from proof.events import notify

WANTED = "proof_poll_wanted"
"""What PostgreSQL notifies when a transaction is to be polled at once."""

# How long after a change of its status a transaction is polled again.
FIRST_POLL = timedelta(seconds=30)


# A transaction that has not ended is polled again soon after it changed or a provider spoke of it.
_ASK_AGAIN = """
UPDATE ramp_transactions SET next_poll_at = least(next_poll_at, $2), polls = 0
WHERE id = ANY($1::uuid[]) AND status IN ('pending', 'processing')
"""


# A provider account can name transactions of its own environment alone.
_ASK_NOW = """
UPDATE ramp_transactions transaction SET next_poll_at = $3, polls = 0
FROM unnest($1::uuid[], $2::integer[]) AS said (id, owner)
WHERE transaction.id = said.id AND transaction.partner_environment_id = said.owner
RETURNING transaction.id
"""


_NEXT = """
SELECT min(next_poll_at) FROM ramp_transactions WHERE status IN ('pending', 'processing')
"""


_CLAIM_DUE = """
UPDATE ramp_transactions SET next_poll_at = $2 WHERE id IN (
    SELECT id FROM ramp_transactions
    WHERE status IN ('pending', 'processing') AND next_poll_at <= $1
    ORDER BY next_poll_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


async def ask_again(tx: Connection, transaction_ids: Collection[UUID], at: datetime) -> None:
    """Have the provider of these asked at `at`, and then as often as in the beginning."""
    await tx.execute(_ASK_AGAIN, list(transaction_ids), at)


async def ask_now(tx: Connection, pairs: Sequence[tuple[UUID, int]], now: datetime) -> set[UUID]:
    """Have the provider of these (transaction, environment) asked at once; those there are."""
    ids, owners = [transaction_id for transaction_id, _ in pairs], [owner for _, owner in pairs]
    known = {row["id"] for row in await tx.fetch(_ASK_NOW, ids, owners, now)}
    if known:
        await notify(tx, WANTED)
    return known


async def next_poll(connection: Connection) -> datetime | None:
    """When the first transaction that has not ended is to be polled; None when all have."""
    at: datetime | None = await connection.fetchval(_NEXT)
    return at


async def claim_due(
    tx: Connection, now: datetime, leased_until: datetime, limit: int
) -> list[UUID]:
    """Transactions to be polled, which nobody else polls before the lease runs out."""
    return [row["id"] for row in await tx.fetch(_CLAIM_DUE, now, leased_until, limit)]


async def hold_poll(tx: Connection, transaction_id: UUID) -> tuple[datetime, UUID | None]:
    """When the transaction is to be polled next, and the account it was given; held like `lock`."""
    row = await tx.fetchrow(
        "SELECT next_poll_at, provider_account_id FROM ramp_transactions WHERE id = $1"
        " FOR NO KEY UPDATE",
        transaction_id,
    )
    assert row is not None, "no transaction is ever deleted"
    return row["next_poll_at"], row["provider_account_id"]


async def poll_again(tx: Connection, transaction_id: UUID, at: datetime, polls: int) -> None:
    """Poll it again at `at`; `polls` polls have found nothing since its status changed."""
    await tx.execute(
        "UPDATE ramp_transactions SET next_poll_at = $2, polls = $3 WHERE id = $1",
        transaction_id,
        at,
        polls,
    )
