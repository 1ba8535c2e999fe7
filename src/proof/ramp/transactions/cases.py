"""What is to be known of a transaction before its provider is asked about it, and when its time is over."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from proof.core.secrets import Vault
from proof.db import Connection
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.providers.protocols import Subject
from proof.ramp.sessions.queries import SESSION_ENDS
from proof.ramp.types import Status, TransactionType

# How long a user has to send coins to the address shown (ramp API contract, "Status").
DEPOSIT_WINDOW = timedelta(hours=6)

_READ = f"""
SELECT transaction.*, person.partner_user_id, coalesce(clock.offset_s, 0) AS offset_s,
    coalesce(session.opened, false) AS opened, session.ends_at
FROM ramp_transactions transaction
JOIN ramp_users person ON person.id = transaction.user_id
LEFT JOIN ({SESSION_ENDS}) session ON session.transaction_id = transaction.id
LEFT JOIN sandbox_clocks clock
       ON clock.partner_environment_id = transaction.partner_environment_id
WHERE transaction.id = $1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction, as it stood when it was read. `deadline` is in its environment's time, which is
    `offset` ahead of the clock; None when nothing ends it. `opened` is whether its widget ever was."""

    id: UUID
    partner_environment_id: int
    account_id: UUID | None
    status: Status
    updated_at: datetime
    polls: int
    next_poll_at: datetime
    alert: str | None
    offset: timedelta
    opened: bool
    awaits_deposit: bool
    deadline: datetime | None
    subject: Subject = field(repr=False)

    def overdue(self, now: datetime) -> timedelta:
        """How long its time has been over, at the clock's `now`; negative before, and for ever if none."""
        return timedelta.min if self.deadline is None else now + self.offset - self.deadline


async def read_case(connection: Connection, vault: Vault, transaction_id: UUID) -> Case | None:
    """None when there is no such transaction. Raises SealError."""
    row = await connection.fetchrow(_READ, transaction_id)
    if row is None:
        return None
    known = await personal.read(connection, vault, transaction_id)
    subject = Subject(
        merchant_transaction_id=row["id"],
        type=TransactionType(row["type"]),
        currency=row["currency"],
        network=row["network"],
        crypto_amount=Decimal(row["crypto_amount"]),
        fiat_currency=row["fiat_currency"],
        address=known.get(Kind.ADDRESS),
        email=known.get(Kind.EMAIL),
        client_ip=known.get(Kind.CLIENT_IP),
        partner_user_id=row["partner_user_id"],
        reference=row["provider_reference"],
    )
    return _case(row, subject)


def _case(row: Any, subject: Subject) -> Case:
    status = Status(row["status"])
    awaits_deposit = subject.type is TransactionType.SELL and row["deposit_shown_at"] is not None
    return Case(
        id=row["id"],
        partner_environment_id=row["partner_environment_id"],
        account_id=row["provider_account_id"],
        status=status,
        updated_at=row["updated_at"],
        polls=row["polls"],
        next_poll_at=row["next_poll_at"],
        alert=row["alert"],
        offset=timedelta(seconds=row["offset_s"]),
        opened=row["opened"] or row["provider_account_id"] is not None,
        awaits_deposit=awaits_deposit,
        deadline=_deadline(row, awaits_deposit) if status is Status.PENDING else None,
        subject=subject,
    )


def _deadline(row: Any, awaits_deposit: bool) -> datetime | None:
    if awaits_deposit:
        shown: datetime = row["deposit_shown_at"]
        return shown + DEPOSIT_WINDOW
    ends_at: datetime | None = row["ends_at"]
    return ends_at
