"""The SQL of opening sessions and of reading transactions back."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from proof.db import Connection
from proof.ramp.personal import Sealed

KEPT = timedelta(hours=24)

# One statement, so one transaction and one round trip. The advisory lock tells a duplicate under way
# from one that is done: who does not get it waits for nothing. A key past its day is taken over.
_OPEN = """
WITH claim AS MATERIALIZED (
    SELECT $3::bytea IS NULL OR pg_try_advisory_xact_lock($4) AS free
), claimed AS (
    INSERT INTO idempotency_keys AS known
        (partner_environment_id, route, key_sha256, body_mac, transaction_id, created_at)
    SELECT $1, 'session', $3, $5, $6, $2 FROM claim WHERE free AND $3 IS NOT NULL
    ON CONFLICT (partner_environment_id, route, key_sha256) DO UPDATE
    SET body_mac = excluded.body_mac, transaction_id = excluded.transaction_id,
        created_at = excluded.created_at
    WHERE known.created_at <= $2 - interval '24 hours'
    RETURNING true
), going AS (
    SELECT $2 + interval '1 second' * coalesce(
        (SELECT offset_s FROM sandbox_clocks WHERE partner_environment_id = $1), 0) AS at
    FROM claim WHERE free AND ($3 IS NULL OR EXISTS (SELECT FROM claimed))
), known AS (
    SELECT id FROM ramp_users
    WHERE partner_environment_id = $1 AND partner_user_id = $7 AND erased_at IS NULL
), added AS (
    INSERT INTO ramp_users (partner_environment_id, partner_user_id, created_at)
    SELECT $1, $7, at FROM going WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (partner_environment_id, partner_user_id) DO UPDATE SET erased_at = NULL
    RETURNING id
), person AS (
    SELECT id FROM known UNION ALL SELECT id FROM added
), opened AS (
    INSERT INTO ramp_transactions
        (id, partner_environment_id, user_id, type, currency, network, crypto_amount, created_at,
        updated_at)
    SELECT $6, $1, person.id, $8, $9, $10, $11, at, at FROM going, person
), kept AS (
    INSERT INTO ramp_personal (id, user_id, transaction_id, kind, sealed, created_at)
    SELECT one.id, person.id, $6, one.kind, one.sealed, $2
    FROM going, person, unnest($12::uuid[], $13::text[], $14::bytea[]) AS one (id, kind, sealed)
), session AS (
    INSERT INTO ramp_sessions (id, transaction_id, signing_key_id, parameters, created_at, init_expires_at)
    SELECT $15, $6, $16, $17::json, at, at + $18::interval FROM going
)
SELECT free, EXISTS (SELECT FROM going) AS opened FROM claim
"""

_STORED = """
SELECT k.body_mac, s.id, s.signing_key_id, s.parameters, s.transaction_id
FROM idempotency_keys k JOIN ramp_sessions s USING (transaction_id)
WHERE k.partner_environment_id = $1 AND k.route = 'session' AND k.key_sha256 = $2 AND k.created_at > $3
"""

_TRANSACTION = """
SELECT t.id, u.partner_user_id, t.type, t.status, t.currency, t.network, t.crypto_amount,
       t.fiat_currency, t.fiat_amount, t.created_at, t.updated_at
FROM ramp_transactions t JOIN ramp_users u ON u.id = t.user_id
WHERE t.id = $2 AND t.partner_environment_id = $1
"""

_KYC = """
SELECT kyc FROM ramp_users
WHERE partner_environment_id = $1 AND partner_user_id = $2 AND erased_at IS NULL
"""


class Key(NamedTuple):
    """An idempotency key: its SHA-256, the number of its lock, and the MAC of the canonical body."""

    sha256: bytes
    lock: int
    body_mac: bytes


class NewSession(NamedTuple):
    """What is written of a session."""

    id: bytes
    transaction_id: UUID
    signing_key_id: UUID
    partner_user_id: str
    type: str
    currency: str
    network: str
    amount: Decimal
    parameters: str
    personal: list[Sealed]
    init_lifetime: timedelta


class Written(NamedTuple):
    """`free` False: the same key is under way. `opened` False: it was used before."""

    free: bool
    opened: bool


async def insert_session(
    connection: Connection,
    partner_environment_id: int,
    now: datetime,
    key: Key | None,
    new: NewSession,
) -> Written:
    """Write user, transaction, personal values, session and key, or nothing of them; `now` is the
    clock's."""
    row = await connection.fetchrow(
        _OPEN,
        partner_environment_id,
        now,
        key.sha256 if key else None,
        key.lock if key else 0,
        key.body_mac if key else None,
        new.transaction_id,
        new.partner_user_id,
        new.type,
        new.currency,
        new.network,
        new.amount,
        [one.id for one in new.personal],
        [one.kind for one in new.personal],
        [one.sealed for one in new.personal],
        new.id,
        new.signing_key_id,
        new.parameters,
        new.init_lifetime,
    )
    assert row is not None, "the statement answers one row"
    return Written(row["free"], row["opened"])


async def stored_session(
    connection: Connection, partner_environment_id: int, key_sha256: bytes, now: datetime
) -> Any:
    """The session that the key opened within the last 24 hours, or None."""
    return await connection.fetchrow(_STORED, partner_environment_id, key_sha256, now - KEPT)


async def select_transaction(
    connection: Connection, partner_environment_id: int, transaction_id: UUID
) -> Any:
    """The transaction of this partner environment, or None."""
    return await connection.fetchrow(_TRANSACTION, partner_environment_id, transaction_id)


async def select_kyc(
    connection: Connection, partner_environment_id: int, partner_user_id: str
) -> str | None:
    """The status of a user this partner environment sent, or None."""
    status: str | None = await connection.fetchval(_KYC, partner_environment_id, partner_user_id)
    return status


async def prune_keys(tx: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` idempotency keys used before then; how many."""
    status = await tx.execute(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency_keys"
        " WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        before,
        limit,
    )
    return int(status.split()[-1])
