"""The SQL of opening sessions, of when they end, and of reading transactions back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp.personal import SealedValue
from proof.ramp.records import Chain, Opening, Record

# How long the answer to an idempotency key is kept.
KEPT = timedelta(hours=24)


# All sessions that are opened together are one statement, so one transaction and one round trip. The
# advisory lock tells a duplicate under way from one that is done, without waiting for it. A key older than
# 24 hours is taken over. Users are inserted in one order, because in any other two statements could
# deadlock. A user who is being erased is waited for and then inserted anew: what is written of the erased
# one would never be erased. Before a widget is opened the reconciler has nothing to poll until the init
# token expires.
_OPEN = """
WITH given AS MATERIALIZED (
    SELECT *, key_lock IS NULL OR pg_try_advisory_xact_lock(key_lock) AS free
    FROM unnest($2::integer[], $3::bytea[], $4::bigint[], $5::bytea[], $6::uuid[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::numeric[], $12::bytea[], $13::uuid[], $14::text[], $15::interval[],
        $16::text[], $22::timestamptz[], $23::bytea[], $24::bytea[])
        AS session (partner_environment_id, key_sha256, key_lock, body_mac, transaction_id, partner_user_id,
        type, currency, network, amount, session_id, signing_key_id, parameters, init_lifetime,
        partner_reference, at, record, record_sha256)
), claimed AS (
    INSERT INTO idempotency_keys AS known
        (partner_environment_id, route, key_sha256, body_mac, transaction_id, created_at)
    SELECT partner_environment_id, 'session', key_sha256, body_mac, transaction_id, $1
    FROM given WHERE free AND key_sha256 IS NOT NULL
    ON CONFLICT (partner_environment_id, route, key_sha256) DO UPDATE
    SET body_mac = excluded.body_mac, transaction_id = excluded.transaction_id,
        created_at = excluded.created_at
    WHERE known.created_at <= $1 - $21::interval
    RETURNING transaction_id
), going AS MATERIALIZED (
    SELECT *, (SELECT id FROM ramp_users person
            WHERE person.partner_environment_id = given.partner_environment_id
            AND person.partner_user_id = given.partner_user_id AND erased_at IS NULL
            FOR KEY SHARE) AS known_id
    FROM given
    WHERE free AND (key_sha256 IS NULL OR transaction_id IN (SELECT transaction_id FROM claimed))
), added AS (
    INSERT INTO ramp_users (partner_environment_id, partner_user_id, created_at)
    SELECT partner_environment_id, partner_user_id, min(at) FROM going WHERE known_id IS NULL
    GROUP BY partner_environment_id, partner_user_id ORDER BY partner_environment_id, partner_user_id
    ON CONFLICT (partner_environment_id, partner_user_id) DO UPDATE SET erased_at = NULL
    RETURNING partner_environment_id, partner_user_id, id
), owned AS MATERIALIZED (
    SELECT going.*, coalesce(known_id, added.id) AS user_id
    FROM going LEFT JOIN added USING (partner_environment_id, partner_user_id)
), opened AS (
    INSERT INTO ramp_transactions
        (id, partner_environment_id, user_id, type, currency, network, crypto_amount, created_at,
        updated_at, next_poll_at, chain_length, chain_sha256)
    SELECT transaction_id, partner_environment_id, user_id, type, currency, network, amount, at, at,
        $1 + init_lifetime, 1, record_sha256
    FROM owned
), recorded AS (
    INSERT INTO ramp_records (transaction_id, sequence, kind, record)
    SELECT transaction_id, 1, 'session.opened', record FROM owned
), kept AS (
    INSERT INTO ramp_personal (id, user_id, transaction_id, kind, sealed, created_at)
    SELECT value.id, user_id, transaction_id, kind, sealed, $1
    FROM owned JOIN unnest($17::uuid[], $18::uuid[], $19::text[], $20::bytea[])
        AS value (transaction_id, id, kind, sealed) USING (transaction_id)
), session AS (
    INSERT INTO ramp_sessions
        (id, transaction_id, signing_key_id, parameters, created_at, init_expires_at, partner_reference)
    SELECT session_id, transaction_id, signing_key_id, parameters::json, at, at + init_lifetime,
        partner_reference
    FROM owned
)
SELECT given.free, going.transaction_id IS NOT NULL AS opened
FROM unnest($6::uuid[]) WITH ORDINALITY AS asked (transaction_id, n)
JOIN given USING (transaction_id) LEFT JOIN going USING (transaction_id) ORDER BY n
"""


_OFFSETS = """
SELECT partner_environment_id, offset_s FROM sandbox_clocks
WHERE partner_environment_id = ANY($1::integer[])
"""


_STORED = """
SELECT k.body_mac, s.id, s.signing_key_id, s.parameters, s.transaction_id
FROM idempotency_keys k JOIN ramp_sessions s USING (transaction_id)
WHERE k.partner_environment_id = $1 AND k.route = 'session' AND k.key_sha256 = $2 AND k.created_at > $3
"""


_TRANSACTION = """
SELECT t.id, u.partner_user_id, t.type, t.status, t.currency, t.network, t.crypto_amount,
       t.fiat_currency, t.fiat_amount, t.fiat_fee, t.rate, t.payment_method, t.failure_reason,
       t.chain_transaction, t.chain_transaction_url, t.event_sha256, t.created_at,
       t.refund_status, t.refund_amount, t.refunded_at,
       t.updated_at, coalesce(s.partner_reference, '') AS partner_reference
FROM ramp_transactions t JOIN ramp_users u ON u.id = t.user_id
LEFT JOIN ramp_sessions s ON s.transaction_id = t.id
WHERE t.id = $2 AND t.partner_environment_id = $1
"""


# For statements about transactions: whether a transaction's widget was ever opened, and when its session
# ends, in its environment's time. A session ends when it is ended for good, when its token expires, or when
# its init token expires unused.
SESSION_ENDS = """
SELECT transaction_id, exchanged_at IS NOT NULL AS opened,
    coalesce(over_at, expires_at, init_expires_at) AS ends_at FROM ramp_sessions
"""


class Key(NamedTuple):
    """An idempotency key: its SHA-256, the number of its lock, and the MAC of the canonical body."""

    sha256: bytes
    lock: int
    body_mac: bytes


class _NoKey(NamedTuple):
    sha256: None = None
    lock: None = None
    body_mac: None = None


_NO_KEY = _NoKey()


class NewSession(NamedTuple):
    """What is written of a session."""

    partner_environment_id: int
    key: Key | None
    id: bytes
    transaction_id: UUID
    signing_key_id: UUID
    amount: Decimal
    parameters: str
    personal: list[SealedValue]
    init_lifetime: timedelta
    partner_id: str
    environment: Environment
    secret: bytes
    opening: Opening

    def record(self, at: datetime) -> Record:
        """The first of the transaction's chain, opened at a moment of its environment."""
        chain = Chain(self.transaction_id, self.partner_id, self.environment, self.secret)
        return self.opening.append_to(chain, at, at)


class WriteResult(NamedTuple):
    """`free` False: the same key is under way. `opened` False: it was used before."""

    free: bool
    opened: bool


async def insert_sessions(
    connection: Connection, now: datetime, sessions: Sequence[NewSession]
) -> list[WriteResult]:
    """Write of each its user, transaction, personal values, session, key and first record, or nothing of
    them; `now` is the clock's. No two may have the same key."""
    ahead = await _offsets(connection, sessions)
    moments = [now + ahead.get(new.partner_environment_id, timedelta(0)) for new in sessions]
    records = [new.record(at) for new, at in zip(sessions, moments, strict=True)]
    keys = [new.key or _NO_KEY for new in sessions]
    owned = [(new.transaction_id, value) for new in sessions for value in new.personal]
    rows = await connection.fetch(
        _OPEN,
        now,
        [new.partner_environment_id for new in sessions],
        [key.sha256 for key in keys],
        [key.lock for key in keys],
        [key.body_mac for key in keys],
        [new.transaction_id for new in sessions],
        [new.opening.partner_user_id for new in sessions],
        [new.opening.type for new in sessions],
        [new.opening.currency for new in sessions],
        [new.opening.network for new in sessions],
        [new.amount for new in sessions],
        [new.id for new in sessions],
        [new.signing_key_id for new in sessions],
        [new.parameters for new in sessions],
        [new.init_lifetime for new in sessions],
        [new.opening.partner_reference for new in sessions],
        [transaction_id for transaction_id, _ in owned],
        [value.id for _, value in owned],
        [value.kind for _, value in owned],
        [value.sealed for _, value in owned],
        KEPT,
        moments,
        [record.content for record in records],
        [record.sha256 for record in records],
    )
    return [WriteResult(row["free"], row["opened"]) for row in rows]


async def _offsets(connection: Connection, sessions: Sequence[NewSession]) -> dict[int, timedelta]:
    """How far the sandboxes among the sessions' owners are ahead; production never is."""
    sandboxes = {
        new.partner_environment_id for new in sessions if new.environment is Environment.SANDBOX
    }
    if not sandboxes:
        return {}
    rows = await connection.fetch(_OFFSETS, list(sandboxes))
    return {row["partner_environment_id"]: timedelta(seconds=row["offset_s"]) for row in rows}


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


async def prune_keys(tx: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` idempotency keys used before then; how many."""
    status = await tx.execute(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency_keys"
        " WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        before,
        limit,
    )
    return int(status.split()[-1])
