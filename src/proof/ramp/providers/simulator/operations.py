"""The simulator's operations in the database.

Locks are taken in one order everywhere: the transaction, its operation, its user.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from proof.core.errors import NotFoundError
from proof.db import Connection
from proof.ramp.providers.simulator.play import Operation, Play, Post
from proof.ramp.providers.simulator.wire import CallbackBody, Leg, Statement, encode
from proof.ramp.types import FailureReason, KycStatus
from proof.ramp.users import record_kyc

# How long a callback may be on its way before another worker takes it.
LEASE = timedelta(seconds=30)
# After these many seconds a callback that was not answered with 200 is posted again; then it is lost.
RETRIES_S = (5, 30, 300, 3600, 14_400)
# A host that nobody can register (RFC 2606).
_EXPLORER = "https://explorer.example/tx"
_PREFIXED = frozenset({"ETH", "ERC20", "BEP20"})
_RECEIVED = (Leg.DEPOSIT, "received")

_LOCK = "SELECT id FROM ramp_transactions WHERE id = $1 FOR NO KEY UPDATE"

_LOCK_OPERATION = (
    "SELECT state::text FROM simulated_operations WHERE transaction_id = $1 FOR UPDATE"
)

_STORE = """
INSERT INTO simulated_operations (transaction_id, account_id, partner_environment_id, state, due_at)
VALUES ($1, $2, $3, $4::jsonb, $5)
ON CONFLICT (transaction_id) DO UPDATE SET state = excluded.state, due_at = excluded.due_at
"""

_SHOWN = """
UPDATE ramp_transactions SET deposit_shown_at = coalesce(deposit_shown_at, $2) WHERE id = $1
"""

_POST = """
INSERT INTO simulated_callbacks (account_id, partner_environment_id, body, due_at)
VALUES ($1, $2, $3, $4)
"""

# Whether a row is due is decided by the clock of its own sandbox.
_DUE = """
SELECT transaction_id, account_id, operation.partner_environment_id,
    $1::timestamptz + make_interval(secs => coalesce(offset_s, 0)) AS now
FROM simulated_operations operation LEFT JOIN sandbox_clocks clock USING (partner_environment_id)
WHERE due_at <= $1::timestamptz + make_interval(secs => coalesce(offset_s, 0)) ORDER BY due_at LIMIT $2
"""

# In the clock's own time: how far a sandbox's clock is ahead, its rows are due sooner.
_NEXT = """
SELECT min(due_at - make_interval(secs => coalesce(offset_s, 0))) FROM (
    SELECT partner_environment_id, due_at FROM simulated_operations WHERE due_at IS NOT NULL
    UNION ALL
    SELECT partner_environment_id, greatest(due_at, leased_until) FROM simulated_callbacks
) AS pending LEFT JOIN sandbox_clocks USING (partner_environment_id)
"""

_CLAIM_POSTS = """
UPDATE simulated_callbacks SET leased_until = $2, tries = tries + 1
FROM (
    SELECT callback.id, $1::timestamptz + make_interval(secs => coalesce(offset_s, 0)) AS now
    FROM simulated_callbacks callback
    LEFT JOIN sandbox_clocks clock USING (partner_environment_id)
    WHERE due_at <= $1::timestamptz + make_interval(secs => coalesce(offset_s, 0))
        AND (leased_until IS NULL OR leased_until < $1::timestamptz)
    ORDER BY due_at, callback.id LIMIT $3 FOR UPDATE OF callback SKIP LOCKED) due
WHERE simulated_callbacks.id = due.id
RETURNING due.id, account_id, body, tries, due_at, due.now
"""


class DueCallback(msgspec.Struct, frozen=True):
    """A callback to post `now`, by its sandbox's clock; `tries` counts this time."""

    id: int
    account_id: UUID
    body: bytes
    tries: int
    due_at: datetime
    now: datetime


class DueOperation(msgspec.Struct, frozen=True):
    """An operation with a step that is due at `now`, by its sandbox's clock."""

    transaction_id: UUID
    account_id: UUID
    partner_environment_id: int
    now: datetime


async def read(connection: Connection, transaction_id: UUID) -> Operation | None:
    """The operation, None before it began."""
    text = await connection.fetchval(
        "SELECT state::text FROM simulated_operations WHERE transaction_id = $1", transaction_id
    )
    return None if text is None else msgspec.json.decode(text, type=Operation)


async def lock(tx: Connection, transaction_id: UUID) -> Operation | None:
    """Lock the transaction and its operation; None before it began. Raises NotFoundError when there is no
    such transaction."""
    # The operation is read in a second statement, because only that sees what the lock waited for.
    if await tx.fetchrow(_LOCK, transaction_id) is None:
        raise NotFoundError("there is no such transaction")
    text = await tx.fetchval(_LOCK_OPERATION, transaction_id)
    return None if text is None else msgspec.json.decode(text, type=Operation)


async def put_off(tx: Connection, due: DueOperation, pause: timedelta) -> None:
    """Take the operation's next step no sooner than `pause` from now, by its sandbox's clock."""
    await tx.execute(
        "UPDATE simulated_operations SET due_at = $2 WHERE transaction_id = $1",
        due.transaction_id,
        due.now + pause,
    )


async def attach(tx: Connection, transaction_id: UUID, account_id: UUID) -> None:
    """Say that the transaction is this account's, if it is nobody's yet, and have it polled."""
    await tx.execute(
        "UPDATE ramp_transactions SET provider_account_id = coalesce(provider_account_id, $2),"
        " next_poll_at = least(next_poll_at, now() + interval '30 seconds') WHERE id = $1",
        transaction_id,
        account_id,
    )


async def store(
    tx: Connection, account_id: UUID, owner: int, transaction_id: UUID, play: Play
) -> None:
    """Write what a play came to: the operation, its callbacks, and what is known of the user."""
    operation = play.operation
    state = msgspec.json.encode(operation).decode()
    await tx.execute(_STORE, transaction_id, account_id, owner, state, operation.due_at)
    if operation.deposit_shown_at is not None:
        await tx.execute(_SHOWN, transaction_id, operation.deposit_shown_at)
    if play.posts:
        rows = [
            (account_id, owner, body_of(operation, transaction_id, post), post.at)
            for post in play.posts
        ]
        await tx.executemany(_POST, rows)
    if play.kyc is not None:
        await record_kyc(tx, transaction_id, play.kyc)


def body_of(operation: Operation, transaction_id: UUID, post: Post) -> bytes:
    """The body of a callback."""
    return encode(callback(operation, transaction_id, post))


def callback(operation: Operation, transaction_id: UUID, post: Post) -> CallbackBody:
    """What a statement says, as the wire has it."""
    statement = post.statement
    moved = chain_transaction(operation.id, operation.network) if _on_chain(statement) else ""
    return CallbackBody(
        operation.id,
        transaction_id,
        statement.leg,
        statement.status,
        operation.crypto_amount,
        operation.fiat_currency,
        operation.fiat_amount,
        statement.at,
        operation.attempts[-1].method if operation.attempts else None,
        operation.fiat_fee,
        operation.rate,
        _failure_reason(operation, statement),
        moved,
        f"{_EXPLORER}/{moved}" if moved else "",
        operation.fiat_amount if statement.leg is Leg.REFUND else "",
    )


def chain_transaction(operation_id: str, network: str) -> str:
    """A hash as the network writes its own, of a transaction that there is not."""
    digits = hashlib.sha256(f"{network} {operation_id}".encode()).hexdigest()
    return "0x" + digits if network in _PREFIXED else digits


def _on_chain(statement: Statement) -> bool:
    """Whether coins moved by then: those delivered, or those of a sell that came."""
    if statement.leg is Leg.DELIVERY:
        return statement.status != "failed"
    return statement.leg is Leg.PAYOUT or (statement.leg, statement.status) == _RECEIVED


def _failure_reason(operation: Operation, statement: Statement) -> FailureReason:
    match statement.leg, statement.status:
        case _, "refused" if operation.kyc is not KycStatus.VERIFIED:
            return FailureReason.IDENTITY_REFUSED
        case Leg.PAYMENT, "refused":
            return FailureReason.PAYMENT_DECLINED
        case Leg.DEPOSIT, "expired":
            return FailureReason.DEPOSIT_EXPIRED
        case Leg.PAYOUT, "failed":
            return FailureReason.PAYOUT_FAILED
    return FailureReason.NONE


async def due(connection: Connection, now: datetime, limit: int) -> list[DueOperation]:
    """Operations with a step to take; `now` is the clock's own time."""
    return [DueOperation(*row) for row in await connection.fetch(_DUE, now, limit)]


async def next_due(connection: Connection) -> datetime | None:
    """When the first operation or callback is due, in the clock's own time; None when there is none.

    A callback that somebody is posting counts from the end of the lease, in a sandbox whose clock is ahead
    from sooner.
    """
    at: datetime | None = await connection.fetchval(_NEXT)
    return at


async def claim_callbacks(tx: Connection, now: datetime, limit: int) -> list[DueCallback]:
    """Callbacks to post, which nobody else is posting. What is claimed and not settled is due again."""
    rows = await tx.fetch(_CLAIM_POSTS, now, now + LEASE, limit)
    found = [DueCallback(*row) for row in rows]
    return sorted(found, key=lambda callback: (callback.due_at, callback.id))


async def settle_callbacks(
    tx: Connection, claimed: Sequence[DueCallback], delivered: Mapping[int, bool]
) -> None:
    """Forget what was delivered or tried often enough, put off the others."""
    over = [
        callback.id
        for callback in claimed
        if delivered[callback.id] or callback.tries > len(RETRIES_S)
    ]
    again = [callback for callback in claimed if callback.id not in set(over)]
    await tx.execute("DELETE FROM simulated_callbacks WHERE id = ANY($1::bigint[])", over)
    if again:
        await tx.executemany(
            "UPDATE simulated_callbacks SET due_at = $2, leased_until = NULL WHERE id = $1",
            [
                (callback.id, callback.now + timedelta(seconds=RETRIES_S[callback.tries - 1]))
                for callback in again
            ],
        )
