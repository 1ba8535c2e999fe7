"""What is known of a user's identity, remembered from one transaction to the next."""

from uuid import UUID

from proof.db import Connection
from proof.ramp.types import KycStatus

_KNOWN = """
SELECT person.kyc FROM ramp_transactions transaction JOIN ramp_users person ON person.id = user_id
WHERE transaction.id = $1
"""

_RECORD = """
UPDATE ramp_users person SET kyc = $2 FROM ramp_transactions transaction
WHERE transaction.id = $1 AND person.id = transaction.user_id AND person.kyc <> $2
"""


async def known_kyc(connection: Connection, merchant_transaction_id: UUID) -> KycStatus:
    """Of the transaction's user; `not_started` for a transaction that there is not."""
    found: str | None = await connection.fetchval(_KNOWN, merchant_transaction_id)
    return KycStatus.NOT_STARTED if found is None else KycStatus(found)


async def record_kyc(tx: Connection, merchant_transaction_id: UUID, kyc: KycStatus) -> None:
    """Remember what a provider said of the transaction's user, in the caller's transaction."""
    await tx.execute(_RECORD, merchant_transaction_id, kyc)
