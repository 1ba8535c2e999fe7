"""Transactions as an operator sees them. Nothing personal is shown; the user's id is the partner's."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from proof.core.errors import NotFoundError
from proof.db import Connection
from proof.partners.environments import environment_names, names_of
from proof.partners.types import Environment
from proof.ramp.amounts import amount_text
from proof.ramp.types import RefundStatus, Status
from proof.ramp.wire import fiat_texts, refund_fields

LIST_AT_MOST = 1_000


_SELECT = """
SELECT transaction.*, person.partner_user_id FROM ramp_transactions transaction
JOIN ramp_users person ON person.id = transaction.user_id
"""


_ONE = _SELECT + " WHERE transaction.id = $1"


_LIST = f"""
{_SELECT}
WHERE ($1::integer[] IS NULL OR transaction.partner_environment_id = ANY($1))
  AND ($2::text IS NULL OR status = $2) AND (NOT $3 OR alert IS NOT NULL)
ORDER BY transaction.created_at DESC, transaction.id LIMIT $4
"""


_EVENTS = """
SELECT record FROM ramp_records WHERE transaction_id = $1 AND kind = 'transaction.status' ORDER BY sequence
"""


_STATEMENTS = """
SELECT occurred_at, observed_at, said, verdict, alert FROM ramp_statements
WHERE transaction_id = $1 ORDER BY occurred_at, observed_at, said
"""


@dataclass(frozen=True, slots=True)
class TransactionSummary:
    """A transaction on a list; amounts as exact decimal strings, fiat empty until it is processing."""

    id: UUID
    partner_id: str
    environment: Environment
    partner_user_id: str
    type: str
    status: Status
    currency: str
    network: str
    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    payment_method: str | None
    provider_reference: str | None
    created_at: datetime
    updated_at: datetime
    alert: str | None
    alerted_at: datetime | None
    refund_status: RefundStatus
    refund_amount: str
    refunded_at: str


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """An event of a transaction: the status it told of, and when that happened and was written."""

    sequence: int
    status: str
    occurred_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ProviderStatement:
    """What a provider said, in its own words, and how it was understood."""

    occurred_at: datetime
    observed_at: datetime
    said: str
    verdict: str
    alert: str | None


@dataclass(frozen=True, slots=True)
class TransactionHistory:
    """A transaction with its history."""

    transaction: TransactionSummary
    events: tuple[StatusRecord, ...]
    statements: tuple[ProviderStatement, ...]


async def list_transactions(
    connection: Connection,
    *,
    partner_id: str | None = None,
    environment: Environment | None = None,
    status: Status | None = None,
    alerted: bool = False,
    limit: int = 50,
) -> list[TransactionSummary]:
    """The newest first, LIST_AT_MOST at most; None leaves a condition out. Raises NotFoundError for a
    partner there is not."""
    owners = None
    if partner_id is not None or environment is not None:
        owners = list(await environment_names(connection, partner_id, environment))
    rows = await connection.fetch(_LIST, owners, status, alerted, min(limit, LIST_AT_MOST))
    names = await names_of(connection, {row["partner_environment_id"] for row in rows})
    return [_listed(row, names[row["partner_environment_id"]]) for row in rows]


async def show_transaction(connection: Connection, transaction_id: UUID) -> TransactionHistory:
    """One with its events and what its provider said. Raises NotFoundError."""
    row = await connection.fetchrow(_ONE, transaction_id)
    if row is None:
        raise NotFoundError(f"there is no transaction {transaction_id}")
    names = await names_of(connection, [row["partner_environment_id"]])
    events = await connection.fetch(_EVENTS, transaction_id)
    statements = await connection.fetch(_STATEMENTS, transaction_id)
    return TransactionHistory(
        _listed(row, names[row["partner_environment_id"]]),
        tuple(_told(*numbered) for numbered in enumerate((row["record"] for row in events), 1)),
        tuple(ProviderStatement(**statement) for statement in statements),
    )


def _told(sequence: int, record: bytes) -> StatusRecord:
    told = msgspec.json.decode(record)
    return StatusRecord(sequence, told["status"], told["occurred_at"], told["updated_at"])


def _listed(row: Any, name: tuple[str, Environment]) -> TransactionSummary:
    return TransactionSummary(
        row["id"],
        *name,
        row["partner_user_id"],
        row["type"],
        Status(row["status"]),
        row["currency"],
        row["network"],
        amount_text(row["crypto_amount"]),
        *fiat_texts(row["fiat_currency"], row["fiat_amount"]),
        row["payment_method"],
        row["provider_reference"],
        row["created_at"],
        row["updated_at"],
        row["alert"],
        row["alerted_at"],
        **refund_fields(row.__getitem__),
    )
