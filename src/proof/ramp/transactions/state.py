"""A transaction's state, and what a statement makes of it. Pure: no clock, no database."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from proof.core.errors import ConflictError, InvalidInputError
from proof.partners.records.checks import is_https_url
from proof.ramp.amounts import amount_text, decimals, fiat_text, rate_of
from proof.ramp.providers.protocols import Observation
from proof.ramp.transactions.transitions import REFUND_AFTER, Alert, move
from proof.ramp.types import FailureReason, RefundStatus, Status, TransactionType

# The least difference that the database and the wire format hold.
_TICK = timedelta(microseconds=1)

_CHAIN_TRANSACTION = re.compile(r"[0-9A-Za-z]{1,128}")


@dataclass(frozen=True, slots=True)
class TransactionState:
    """What changes of a transaction. `event_count` is the sequence of its newest event, 0 without one;
    fiat is empty and None until it is processing, and again once a sale has failed."""

    status: Status
    event_count: int
    crypto_amount: Decimal
    fiat_currency: str
    fiat_amount: Decimal | None
    payment_method: str | None
    reference: str | None
    updated_at: datetime
    fiat_fee: Decimal | None = None
    rate: Decimal | None = None
    failure_reason: FailureReason = FailureReason.NONE
    chain_transaction: str = ""
    chain_transaction_url: str = ""
    refund_status: RefundStatus = RefundStatus.NONE
    refund_amount: Decimal | None = None
    refunded_at: datetime | None = None

    @property
    def captured(self) -> bool:
        """Whether it was ever processing."""
        return self.status.captured(self.event_count)


class StateChanges(NamedTuple):
    """What a statement did: each state the transaction took, in order, and how it stands in the end."""

    states: tuple[TransactionState, ...]
    final: TransactionState
    alert: Alert | None


def observed(
    state: TransactionState, kind: TransactionType, observation: Observation, now: datetime
) -> StateChanges:
    """The step that a provider's statement makes at `now`, the present of the transaction's environment."""
    moved = move(state.status, state.captured, observation.verdict)
    if observation.reference is not None:
        state = replace(state, reference=observation.reference)
    if not moved.statuses:
        if state.captured and not state.status.terminal and state.fiat_amount is None:
            # The amount is no change of status, so the next event tells it.
            state = _with_fiat(state, kind, observation)[0]
        return StateChanges((), state, moved.alert)
    state = replace(state, payment_method=observation.payment_method or state.payment_method)
    captured = state.captured or Status.PROCESSING in moved.statuses
    stated, alert = _with_amounts(state, kind, observation) if captured else (state, None)
    reason = observation.failure_reason or FailureReason.OTHER
    step = advanced(_on_chain(stated, observation), kind, moved.statuses, now, reason)
    return StateChanges(step.states, step.final, moved.alert or alert)


def advanced(
    state: TransactionState,
    kind: TransactionType,
    statuses: tuple[Status, ...],
    now: datetime,
    reason: FailureReason,
) -> StateChanges:
    """The step through these statuses, each with an event and a moment of its own; `reason` is that of a
    failure."""
    states: list[TransactionState] = []
    for status in statuses:
        failed = status is Status.FAILED
        state = replace(
            state,
            status=status,
            event_count=state.event_count + 1,
            updated_at=max(now, state.updated_at + _TICK),
            failure_reason=reason if failed else FailureReason.NONE,
        )
        if kind is TransactionType.SELL and (failed or status is Status.CANCELLED):
            # A sell that failed or was cancelled pays nobody.
            state = replace(state, fiat_amount=None, fiat_fee=None, rate=None)
        states.append(state)
    return StateChanges(tuple(states), state, None)


def refunded(
    state: TransactionState,
    kind: TransactionType,
    status: RefundStatus,
    amount: Decimal,
    now: datetime,
) -> TransactionState:
    """The state once `amount`, in the transaction's currency, is asked back, was given back or charged back
    at `now`. The status stays.

    Raises ConflictError where nothing that was paid is known, or where `status` cannot follow;
    InvalidInputError for an amount that is not over zero, or over what the user paid.
    """
    if kind is TransactionType.SELL:
        raise ConflictError("it is a sale: its user paid coins, and only a buy's payment goes back")
    if not state.captured:
        raise ConflictError(f"it is {state.status} and was never paid; nothing can go back")
    if state.fiat_amount is None:
        raise ConflictError(
            "its provider has not told what was paid; a refund is told once the amount is known"
        )
    if status not in REFUND_AFTER[state.refund_status]:
        raise ConflictError(_cannot_follow(state.refund_status, status))
    paid = f"{fiat_text(state.fiat_amount)} {state.fiat_currency}"
    if not _is_amount(amount) or amount > state.fiat_amount:
        raise InvalidInputError(f"amount: it is over zero and at most what was paid, {paid}")
    if (places := decimals(fiat_text(state.fiat_amount))) < decimals(amount_text(amount)):
        raise InvalidInputError(f"amount: {paid} was paid, so it has at most {places} decimals")
    given = None if status is RefundStatus.REQUESTED else now
    return replace(state, refund_status=status, refund_amount=amount, refunded_at=given)


def _cannot_follow(present: RefundStatus, status: RefundStatus) -> str:
    following = " or ".join(REFUND_AFTER[present])
    then = f"only {following} can follow" if following else "which is final"
    return f"its refund_status is {present}, {then}; it cannot become {status}"


def _with_amounts(
    state: TransactionState, kind: TransactionType, observation: Observation
) -> tuple[TransactionState, Alert | None]:
    """With what the provider said of money. A crypto amount other than the one agreed is what happened, so
    it is taken, and a person is told; one that is no amount is not taken."""
    alert = None
    if (crypto := observation.crypto_amount) is not None and crypto != state.crypto_amount:
        alert = Alert.AMOUNT_DIFFERS
        if _is_amount(crypto):
            state = replace(state, crypto_amount=crypto)
    state, wrong = _with_fiat(state, kind, observation)
    return state, wrong or alert


def _with_fiat(
    state: TransactionState, kind: TransactionType, observation: Observation
) -> tuple[TransactionState, Alert | None]:
    amount, fee = observation.fiat_amount, observation.fiat_fee
    if amount is None or observation.fiat_currency is None:
        return state, None
    if not _is_amount(amount):
        return state, Alert.AMOUNT_DIFFERS
    state = replace(
        state,
        fiat_currency=observation.fiat_currency,
        fiat_amount=amount,
        fiat_fee=None,
        rate=None,
    )
    if fee is None:
        return state, None
    price = amount - fee if kind is TransactionType.BUY else amount + fee
    if not fee.is_finite() or fee < 0 or price <= 0:
        return state, Alert.AMOUNT_DIFFERS
    rate = rate_of(price, state.crypto_amount, observation.rate)
    return replace(state, fiat_fee=fee, rate=rate), None


def _on_chain(state: TransactionState, observation: Observation) -> TransactionState:
    """What a provider says is shown to users as a link, so it is no more than a transaction's name."""
    named = observation.chain_transaction
    if named is None or not _CHAIN_TRANSACTION.fullmatch(named):
        return state
    url = observation.chain_transaction_url or ""
    return replace(
        state,
        chain_transaction=named,
        chain_transaction_url=url if is_https_url(url) else "",
    )


def _is_amount(amount: Decimal) -> bool:
    return amount.is_finite() and amount > 0
