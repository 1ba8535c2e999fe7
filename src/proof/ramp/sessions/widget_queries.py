"""The SQL of widget sessions."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from proof.db import Connection
from proof.ramp.providers.protocols import ProviderStatus, Subject
from proof.ramp.sessions.errors import SessionTokenTakenError
from proof.ramp.sessions.types import StoredParameters
from proof.ramp.types import KycStatus, Status, TransactionType
from proof.ramp.wire import MoneyFields, money_fields

_SESSION = """
SELECT s.id, s.signing_key_id, s.parameters, s.init_expires_at, s.exchanged_at, s.token_sha256,
       s.expires_at, s.over_at, s.fiat_currency, t.id AS transaction_id, t.partner_environment_id, t.type,
       t.status, t.event_count, t.alert, t.currency, t.network, t.crypto_amount, t.payment_method,
       t.updated_at, t.provider_account_id, t.provider_reference, t.fiat_currency AS settled_currency,
       t.fiat_amount, t.fiat_fee, t.rate, t.failure_reason, t.chain_transaction, t.chain_transaction_url,
       u.partner_user_id, u.kyc,
       coalesce(c.offset_s, 0) AS offset_s
FROM ramp_sessions s JOIN ramp_transactions t ON t.id = s.transaction_id
JOIN ramp_users u ON u.id = t.user_id
LEFT JOIN sandbox_clocks c ON c.partner_environment_id = t.partner_environment_id
"""

# The session has a column fiat_currency as well, and its value may differ from the transaction's.
_COLUMNS = {"fiat_currency": "settled_currency"}

_BY_TOKEN = _SESSION + "WHERE s.token_sha256 = $1"

_BY_TRANSACTION = _SESSION + "WHERE t.id = $1 AND t.partner_environment_id = $2"


# Of several calls that exchange one token at once, the row's lock lets one through. A transaction that
# ended while its provider was asked gets no session, so that nobody pays for it any more.
_EXCHANGE = """
WITH exchanged AS (
    UPDATE ramp_sessions
    SET exchanged_at = $2, token_sha256 = $3, expires_at = $4, client_ip_differs = $5
    WHERE id = $1 AND exchanged_at IS NULL AND over_at IS NULL AND EXISTS (
        SELECT FROM ramp_transactions t WHERE t.id = transaction_id AND t.status = 'pending')
    RETURNING transaction_id
)
UPDATE ramp_transactions t
SET provider_account_id = $6, next_poll_at = least(next_poll_at, now() + interval '30 seconds')
FROM exchanged WHERE t.id = exchanged.transaction_id AND t.status = 'pending' RETURNING t.id
"""


@dataclass(frozen=True, slots=True)
class WidgetSession:
    """A session with its transaction, as it is now. `offset` is how far its environment is ahead of the
    clock; `fiat_currency` is the one chosen in the widget, or else the one it was opened with; `money` is
    what partners are told that the transaction came to. `captured`: the transaction was processing at some
    time; `undeliverable`: the operator was told that what was paid for does not arrive."""

    id: bytes = field(repr=False)
    signing_key_id: UUID
    parameters: StoredParameters
    init_expires_at: datetime
    exchanged_at: datetime | None
    token_sha256: bytes | None = field(repr=False)
    expires_at: datetime | None
    over: bool
    fiat_currency: str
    transaction_id: UUID
    partner_environment_id: int
    type: TransactionType
    status: Status
    captured: bool
    undeliverable: bool
    currency: str
    network: str
    crypto_amount: Decimal
    payment_method: str | None
    updated_at: datetime
    provider_account_id: UUID | None
    provider_reference: str | None
    partner_user_id: str
    kyc: KycStatus
    offset: timedelta
    money: MoneyFields

    @property
    def open(self) -> bool:
        """Whether the user can still do something."""
        return self.status is Status.PENDING and not self.over

    def subject(self, email: str | None, address: str | None, client_ip: str | None) -> Subject:
        """The transaction as providers are told of it."""
        return Subject(
            merchant_transaction_id=self.transaction_id,
            type=self.type,
            currency=self.currency,
            network=self.network,
            crypto_amount=self.crypto_amount,
            fiat_currency=self.fiat_currency,
            address=address,
            email=email,
            client_ip=client_ip,
            partner_user_id=self.partner_user_id,
            reference=self.provider_reference,
        )


async def session_by_token(connection: Connection, sha256: bytes) -> WidgetSession | None:
    """The session whose token has this SHA-256; over or not."""
    return _held(await connection.fetchrow(_BY_TOKEN, sha256))


async def session_of(
    connection: Connection, transaction_id: UUID, partner_environment_id: int
) -> WidgetSession | None:
    """The session of a transaction of this partner environment."""
    return _held(await connection.fetchrow(_BY_TRANSACTION, transaction_id, partner_environment_id))


async def exchange(
    connection: Connection,
    session_id: bytes,
    now: datetime,
    token_sha256: bytes,
    expires_at: datetime,
    client_ip_differs: bool | None,
    provider_account_id: UUID,
) -> bool:
    """Give the session its token and its provider account; False when it has one or is over.

    Raises SessionTokenTakenError when another session has this token.
    """
    try:
        done = await connection.fetchval(
            _EXCHANGE,
            session_id,
            now,
            token_sha256,
            expires_at,
            client_ip_differs,
            provider_account_id,
        )
    except asyncpg.UniqueViolationError:
        raise SessionTokenTakenError from None
    return done is not None


async def choose_fiat(connection: Connection, session_id: bytes, fiat_currency: str) -> None:
    """Keep what the user pays with."""
    await connection.execute(
        "UPDATE ramp_sessions SET fiat_currency = $2 WHERE id = $1", session_id, fiat_currency
    )


def _held(row: Any) -> WidgetSession | None:
    if row is None:
        return None
    parameters = msgspec.json.decode(row["parameters"], type=StoredParameters)
    status = Status(row["status"])
    return WidgetSession(
        id=row["id"],
        signing_key_id=row["signing_key_id"],
        parameters=parameters,
        init_expires_at=row["init_expires_at"],
        exchanged_at=row["exchanged_at"],
        token_sha256=row["token_sha256"],
        expires_at=row["expires_at"],
        over=row["over_at"] is not None,
        fiat_currency=row["fiat_currency"] or parameters.fiat_currency,
        transaction_id=row["transaction_id"],
        partner_environment_id=row["partner_environment_id"],
        type=TransactionType(row["type"]),
        status=status,
        captured=status.captured(row["event_count"]),
        undeliverable=row["alert"] == ProviderStatus.UNDELIVERABLE,
        currency=row["currency"],
        network=row["network"],
        crypto_amount=row["crypto_amount"],
        payment_method=row["payment_method"],
        updated_at=row["updated_at"],
        provider_account_id=row["provider_account_id"],
        provider_reference=row["provider_reference"],
        partner_user_id=row["partner_user_id"],
        kyc=KycStatus(row["kyc"]),
        offset=timedelta(seconds=row["offset_s"]),
        money=money_fields(lambda name: row[_COLUMNS.get(name, name)]),
    )
