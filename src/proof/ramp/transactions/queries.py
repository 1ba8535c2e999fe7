"""The SQL of transactions. Rows are locked in the order of their ids, so that no batches wait in a ring."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.ramp.providers.protocols import Observation
from proof.ramp.records import Chain, Record
from proof.ramp.transactions.state import TransactionState
from proof.ramp.transactions.transitions import ALLOWED, REFUND_AFTER, Alert
from proof.ramp.types import FailureReason, RefundStatus, Status, TransactionType

# How long an alert waits for others to share a mail.
GATHERED = timedelta(minutes=1)


_COLUMNS = """
transaction.id, transaction.partner_environment_id, transaction.user_id, transaction.type,
transaction.currency, transaction.network, transaction.created_at, transaction.chain_length,
transaction.chain_sha256, transaction.alert, transaction.status, transaction.event_count,
transaction.crypto_amount,
transaction.fiat_currency, transaction.fiat_amount, transaction.payment_method,
transaction.provider_reference, transaction.updated_at, transaction.fiat_fee, transaction.rate,
transaction.failure_reason, transaction.chain_transaction, transaction.chain_transaction_url,
transaction.refund_status, transaction.refund_amount, transaction.refunded_at,
transaction.chain_recorded_at,
coalesce(session.partner_reference, '') AS partner_reference, person.partner_user_id,
person.erased_at IS NOT NULL AS erased, coalesce(clock.offset_s, 0) AS offset_s
"""


# The user is locked too: an erasure under way is waited for, so that no secret is made for an erased
# user.
_LOCK = f"""
SELECT {_COLUMNS} FROM ramp_transactions transaction
JOIN ramp_users person ON person.id = transaction.user_id
LEFT JOIN ramp_sessions session ON session.transaction_id = transaction.id
LEFT JOIN sandbox_clocks clock
       ON clock.partner_environment_id = transaction.partner_environment_id
WHERE transaction.id = ANY($1::uuid[]) ORDER BY transaction.id
FOR NO KEY UPDATE OF transaction FOR KEY SHARE OF person
"""


# `predecessors` comes from the table of transitions: whatever was computed, a status is written only where
# the table allows it.
_MOVE = """
UPDATE ramp_transactions transaction
SET status = moved.status, event_count = moved.event_count, event_sha256 = moved.event_sha256,
    chain_length = moved.chain_length, chain_sha256 = moved.chain_sha256,
    crypto_amount = moved.crypto_amount, fiat_currency = moved.fiat_currency,
    fiat_amount = moved.fiat_amount, payment_method = moved.payment_method,
    provider_reference = moved.provider_reference, updated_at = moved.updated_at,
    fiat_fee = moved.fiat_fee, rate = moved.rate, failure_reason = moved.failure_reason,
    chain_transaction = moved.chain_transaction, chain_transaction_url = moved.chain_transaction_url
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::bytea[], $6::numeric[], $7::text[],
            $8::numeric[], $9::text[], $10::text[], $11::timestamptz[], $12::numeric[], $13::numeric[],
            $14::text[], $15::text[], $16::text[], $17::integer[], $18::bytea[])
     AS moved (id, was, status, event_count, event_sha256, crypto_amount, fiat_currency, fiat_amount,
               payment_method, provider_reference, updated_at, fiat_fee, rate, failure_reason,
               chain_transaction, chain_transaction_url, chain_length, chain_sha256)
WHERE transaction.id = moved.id AND transaction.status = moved.was
  AND transaction.event_count < moved.event_count AND transaction.chain_length < moved.chain_length
  AND (moved.was, moved.status) IN (SELECT * FROM unnest($19::text[], $20::text[]))
RETURNING transaction.id
"""


_REFER = """
UPDATE ramp_transactions transaction SET provider_reference = said.reference
FROM unnest($1::uuid[], $2::text[]) AS said (id, reference)
WHERE transaction.id = said.id AND transaction.provider_reference IS DISTINCT FROM said.reference
"""


_LENGTHEN = """
UPDATE ramp_transactions SET chain_length = $2, chain_sha256 = $3, chain_recorded_at = $4
WHERE id = $1 AND chain_length < $2
"""


# Whatever was computed, a refund is written only where the table of what may follow allows it.
_REFUND = """
UPDATE ramp_transactions SET refund_status = $2, refund_amount = $3, refunded_at = $4
WHERE id = $1 AND refund_status = $5 AND ($5, $2) IN (SELECT * FROM unnest($6::text[], $7::text[]))
RETURNING id
"""


_ADD_RECORDS = """
INSERT INTO ramp_records (transaction_id, sequence, kind, record)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bytea[])
"""


_FIAT_CURRENCY = """
SELECT coalesce(parameters->>'fiat_currency', '') FROM ramp_sessions WHERE transaction_id = $1
"""


_KEEP_STATEMENTS = """
INSERT INTO ramp_statements (transaction_id, occurred_at, said, verdict, alert, observed_at)
SELECT *, $6::timestamptz
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
ON CONFLICT DO NOTHING
RETURNING transaction_id, occurred_at, said
"""


# The operator is mailed about production alone: in the sandbox there is no money, and partners try
# failures. An alert that waits to be mailed is not added a second time.
_RAISE = """
WITH raised AS (
    UPDATE ramp_transactions transaction SET alert = raised.alert, alerted_at = $3
    FROM unnest($1::uuid[], $2::text[]) AS raised (id, alert) WHERE transaction.id = raised.id
    RETURNING transaction.id, transaction.alert, transaction.partner_environment_id
)
INSERT INTO ramp_alert_notices (transaction_id, alert, at, due_at)
SELECT raised.id, alert, $3, $4 FROM raised
JOIN partner_environments owner ON owner.id = raised.partner_environment_id
WHERE environment = 'production' ON CONFLICT DO NOTHING
"""


# The window to pay begins with the first statement that shows the address, and never before the
# transaction.
_SHOW_DEPOSITS = """
UPDATE ramp_transactions transaction
SET deposit_shown_at = greatest(said.shown_at, transaction.created_at)
FROM unnest($1::uuid[], $2::timestamptz[]) AS said (id, shown_at)
WHERE transaction.id = said.id AND type = 'sell' AND deposit_shown_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class LockedTransaction:
    """A transaction held by this database transaction. `offset` is its environment's (ramp.clock)."""

    id: UUID
    partner_environment_id: int
    user_id: int
    type: TransactionType
    currency: str
    network: str
    created_at: datetime
    chain_length: int
    chain_sha256: bytes | None
    alert: str | None
    partner_user_id: str
    partner_reference: str = field(repr=False)
    erased: bool
    offset: timedelta
    state: TransactionState
    chain_recorded_at: datetime | None

    def recorded_at(self, now: datetime) -> datetime:
        """The moment of a record made at the clock's `now`: of the environment, and before nothing that was
        recorded."""
        before = self.chain_recorded_at or self.state.updated_at
        return max(now + self.offset, self.state.updated_at, before)


async def lock(tx: Connection, transaction_ids: Collection[UUID]) -> dict[UUID, LockedTransaction]:
    """These transactions, those there are, held until the end of the caller's transaction."""
    rows = await tx.fetch(_LOCK, list(transaction_ids))
    return {row["id"]: _locked(row) for row in rows}


async def write_moves(
    tx: Connection, moves: Sequence[tuple[LockedTransaction, TransactionState, bytes, Chain]]
) -> Sequence[UUID]:
    """Bring each transaction from the status it was locked at to its new state, in one guarded statement;
    the ids moved. Beside the state there are the SHA-256 of the newest status record, and the chain."""
    allowed = [(before, after) for before in Status for after in _reachable(before)]
    finals = [final for _, final, _, _ in moves]
    rows = await tx.fetch(
        _MOVE,
        [locked.id for locked, _, _, _ in moves],
        [locked.state.status for locked, _, _, _ in moves],
        [final.status for final in finals],
        [final.event_count for final in finals],
        [sha256 for _, _, sha256, _ in moves],
        [final.crypto_amount for final in finals],
        [final.fiat_currency for final in finals],
        [final.fiat_amount for final in finals],
        [final.payment_method for final in finals],
        [final.reference for final in finals],
        [final.updated_at for final in finals],
        [final.fiat_fee for final in finals],
        [final.rate for final in finals],
        [final.failure_reason for final in finals],
        [final.chain_transaction for final in finals],
        [final.chain_transaction_url for final in finals],
        [chain.length for _, _, _, chain in moves],
        [chain.sha256 for _, _, _, chain in moves],
        [before for before, _ in allowed],
        [after for _, after in allowed],
    )
    return [row["id"] for row in rows]


async def write_references(tx: Connection, references: Mapping[UUID, str]) -> None:
    """Keep the provider's newest id of each operation."""
    await tx.execute(_REFER, list(references), list(references.values()))


async def lengthen(tx: Connection, chain: Chain, recorded_at: datetime) -> None:
    """Keep how long a chain is where its newest record, of this moment, moved no status."""
    await tx.execute(_LENGTHEN, chain.transaction_id, chain.length, chain.sha256, recorded_at)


async def write_refund(
    tx: Connection, transaction_id: UUID, was: RefundStatus, refunded: TransactionState
) -> bool:
    """Bring the refund of a locked transaction from where it was to its new state; whether it did."""
    allowed = [(before, after) for before, all_of in REFUND_AFTER.items() for after in all_of]
    written = await tx.fetchval(
        _REFUND,
        transaction_id,
        refunded.refund_status,
        refunded.refund_amount,
        refunded.refunded_at,
        was,
        [before for before, _ in allowed],
        [after for _, after in allowed],
    )
    return written is not None


async def add_records(tx: Connection, records: Sequence[Record]) -> None:
    """Write the records; what they pin of their transactions is written besides."""
    await tx.execute(
        _ADD_RECORDS,
        [record.transaction_id for record in records],
        [record.sequence for record in records],
        [record.kind for record in records],
        [record.content for record in records],
    )


async def session_fiat_currency(tx: Connection, transaction_id: UUID) -> str:
    """The fiat currency that the transaction's session was opened with; empty where it is not known."""
    return await tx.fetchval(_FIAT_CURRENCY, transaction_id) or ""


async def keep_statements(
    tx: Connection, said: Sequence[tuple[Observation, Alert | None]], observed_at: datetime
) -> set[tuple[UUID, datetime, str]]:
    """Keep what providers said, once each; (transaction, moment, words) of those that are new."""
    rows = await tx.fetch(
        _KEEP_STATEMENTS,
        [observation.merchant_transaction_id for observation, _ in said],
        [observation.occurred_at for observation, _ in said],
        [observation.said for observation, _ in said],
        [observation.verdict for observation, _ in said],
        [alert for _, alert in said],
        observed_at,
    )
    return {(row["transaction_id"], row["occurred_at"], row["said"]) for row in rows}


async def raise_alerts(tx: Connection, alerts: Mapping[UUID, Alert], at: datetime) -> None:
    """Mark transactions for a person to check, with the newest reason, and have it mailed."""
    mailed_at = at + GATHERED
    await tx.execute(_RAISE, list(alerts), list(alerts.values()), at, mailed_at)


async def show_deposits(tx: Connection, shown: Mapping[UUID, datetime]) -> None:
    """Keep when the users of these sells were first shown where to send their coins."""
    await tx.execute(_SHOW_DEPOSITS, list(shown), list(shown.values()))


async def transactions_of(tx: Connection, user_id: int) -> list[UUID]:
    """All of a user."""
    rows = await tx.fetch("SELECT id FROM ramp_transactions WHERE user_id = $1", user_id)
    return [row["id"] for row in rows]


async def clear_alert(tx: Connection, transaction_id: UUID) -> None:
    """A person has checked the transaction."""
    await tx.execute(
        "UPDATE ramp_transactions SET alert = NULL, alerted_at = NULL WHERE id = $1", transaction_id
    )


def _reachable(status: Status) -> set[Status]:
    reached = set(ALLOWED[status])
    for following in ALLOWED[status]:
        reached |= _reachable(following)
    return reached


def _locked(row: Any) -> LockedTransaction:
    state = TransactionState(
        Status(row["status"]),
        row["event_count"],
        row["crypto_amount"],
        row["fiat_currency"],
        row["fiat_amount"],
        row["payment_method"],
        row["provider_reference"],
        row["updated_at"],
        row["fiat_fee"],
        row["rate"],
        FailureReason(row["failure_reason"]),
        row["chain_transaction"],
        row["chain_transaction_url"],
        RefundStatus(row["refund_status"]),
        row["refund_amount"],
        row["refunded_at"],
    )
    return LockedTransaction(
        row["id"],
        row["partner_environment_id"],
        row["user_id"],
        TransactionType(row["type"]),
        row["currency"],
        row["network"],
        row["created_at"],
        row["chain_length"],
        row["chain_sha256"],
        row["alert"],
        row["partner_user_id"],
        # The session's row is not locked, so after waiting for an erasure it is read as it was before.
        "" if row["erased"] else row["partner_reference"],
        row["erased"],
        timedelta(seconds=row["offset_s"]),
        state,
        row["chain_recorded_at"],
    )
