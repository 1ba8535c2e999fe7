"""The users whom partners send: how far each is identified, and who asked to be forgotten.

A user is added by the statement that opens a session (`sessions.queries`), and never deleted: of one who is
erased there stays a row with a made-up id, which the transactions hang on.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from proof.db import Connection
from proof.ramp.types import KycStatus

_KNOWN = """
SELECT person.kyc FROM ramp_transactions transaction JOIN ramp_users person ON person.id = user_id
WHERE transaction.id = $1
"""

_RECORD = """
UPDATE ramp_users person SET kyc = $2 FROM ramp_transactions transaction
WHERE transaction.id = $1 AND person.id = transaction.user_id AND person.kyc <> $2
    AND person.kyc = coalesce($3, person.kyc)
"""

_SENT = """
SELECT kyc FROM ramp_users
WHERE partner_environment_id = $1 AND partner_user_id = $2 AND erased_at IS NULL
"""

_LOCK = """
SELECT id, partner_environment_id FROM ramp_users
WHERE partner_environment_id = ANY($1::integer[]) AND partner_user_id = $2 ORDER BY id FOR UPDATE
"""

# Until an erased user's last transaction has ended, further statements may come, and they are erased too.
_ERASE = """
UPDATE ramp_users SET partner_user_id = $2, erased_at = $3, kyc = 'not_started' WHERE id = $1
"""

_ERASED = """
SELECT transaction.id FROM ramp_transactions transaction
JOIN ramp_users person ON person.id = transaction.user_id
WHERE transaction.id = ANY($1::uuid[]) AND person.erased_at IS NOT NULL
"""


class User(NamedTuple):
    """A user in one of a partner's environments."""

    id: int
    partner_environment_id: int


async def known_kyc(connection: Connection, merchant_transaction_id: UUID) -> KycStatus:
    """Of the transaction's user; `not_started` for a transaction that there is not."""
    found: str | None = await connection.fetchval(_KNOWN, merchant_transaction_id)
    return KycStatus.NOT_STARTED if found is None else KycStatus(found)


async def kyc_of(
    connection: Connection, partner_environment_id: int, partner_user_id: str
) -> KycStatus | None:
    """Of a user this partner environment sent; None for one it did not, or who is erased."""
    found: str | None = await connection.fetchval(_SENT, partner_environment_id, partner_user_id)
    return None if found is None else KycStatus(found)


async def record_kyc(
    tx: Connection,
    merchant_transaction_id: UUID,
    kyc: KycStatus,
    known: KycStatus | None = None,
) -> None:
    """Remember what a provider said of the transaction's user, in the caller's transaction.

    `known` is what was known before the provider was asked: once something else is, the answer may be
    older. None for what was just decided.
    """
    await tx.execute(_RECORD, merchant_transaction_id, kyc, known)


async def lock(
    tx: Connection, partner_environment_ids: Collection[int], partner_user_id: str
) -> list[User]:
    """A partner's user in these environments, held until the end of the caller's transaction."""
    # PostgreSQL takes no NUL and no half of a surrogate pair; sessions with such an id are refused.
    if not partner_user_id.isprintable():
        return []
    rows = await tx.fetch(_LOCK, list(partner_environment_ids), partner_user_id)
    return [User(row["id"], row["partner_environment_id"]) for row in rows]


async def erase(tx: Connection, user_id: int, now: datetime) -> str:
    """Forget who it is, and what was known of its identity; the name made up for it."""
    name = f"erased-{uuid4()}"
    await tx.execute(_ERASE, user_id, name, now)
    return name


async def erased_among(tx: Connection, transaction_ids: Collection[UUID]) -> list[UUID]:
    """Those transactions whose user asked to be forgotten."""
    return [row["id"] for row in await tx.fetch(_ERASED, list(transaction_ids))]
