"""Transactions as a session makes them, what providers say of them, and what became of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.providers.protocols import Observation, ProviderStatus
from proof.ramp.transactions.service import ObservationResult, Statement, observe_all

BEGUN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
EMAIL, ADDRESS, CLIENT_IP = "ada@example.com", "TLyqzVGLV1srkB7dToTAEqgDSfPtXRJZYH", "198.51.100.7"
USER = "user-ada-4711"

_PERSON = """
INSERT INTO ramp_users (partner_environment_id, partner_user_id, created_at) VALUES ($1, $2, $3)
ON CONFLICT (partner_environment_id, partner_user_id) DO UPDATE SET kyc = ramp_users.kyc RETURNING id
"""

_TRANSACTION = """
INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency, network,
    crypto_amount, fiat_currency, created_at, updated_at, next_poll_at)
VALUES ($1, $2, $3, $4, $7, 'TRC20', $5, 'EUR', $6, $6, $6)
"""


async def make_transaction(
    database: Database,
    vault: Vault,
    owner: int,
    *,
    kind: str = "buy",
    user: str = USER,
    amount: str = "50.000000000000000001",
    currency: str = "USDT",
    at: datetime = BEGUN,
) -> UUID:
    """A pending transaction of a partner environment, with its user's personal values; its id."""
    made = uuid4()
    async with database.transaction() as tx:
        person = await tx.fetchval(_PERSON, owner, user, at)
        values = (made, owner, person, kind, Decimal(amount), at, currency)
        await tx.execute(_TRANSACTION, *values)
        known = {Kind.EMAIL: EMAIL, Kind.ADDRESS: ADDRESS, Kind.CLIENT_IP: CLIENT_IP}
        for each, value in known.items():
            sealed = personal.seal(vault, each, value)
            await personal.save(tx, [(sealed, person, made)], at)
    return made


def said(transaction: UUID, verdict: ProviderStatus, **how: Any) -> Observation:
    """What a provider says; each call's moment is its own unless one is given."""
    words = {"said": f"leg: {verdict}", "occurred_at": BEGUN + timedelta(minutes=1), **how}
    return Observation(transaction, verdict, **words)


async def hear(
    database: Database,
    vault: Vault,
    *observations: Observation,
    now: datetime = BEGUN + timedelta(minutes=2),
) -> list[ObservationResult]:
    """Observe them one after the other, each in its own transaction."""
    outcomes = []
    for observation in observations:
        async with database.transaction() as tx:
            outcomes += await observe_all(tx, vault, [Statement(observation)], now)
    return outcomes


async def row_of(database: Database, transaction: UUID) -> dict[str, Any]:
    """The transaction as it stands."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM ramp_transactions WHERE id = $1", transaction
        )
    assert row is not None
    return dict(row)


async def chain_of(database: Database, transaction: UUID) -> list[bytes]:
    """Its records, in order."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT record FROM ramp_records WHERE transaction_id = $1 ORDER BY sequence",
            transaction,
        )
    return [row["record"] for row in rows]


async def records_of(database: Database, transaction: UUID) -> list[bytes]:
    """The records of its status changes, in order."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT record FROM ramp_records"
            " WHERE transaction_id = $1 AND kind = 'transaction.status' ORDER BY sequence",
            transaction,
        )
    return [row["record"] for row in rows]


async def published_of(database: Database, transaction: UUID) -> list[bytes]:
    """The bodies of its events in the outbox, in the order they were published."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT body FROM outbox WHERE subject = $1 AND type = 'transaction.updated'"
            " ORDER BY position",
            str(transaction),
        )
    return [row["body"] for row in rows]
