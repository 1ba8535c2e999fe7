"""A transaction's state, and what a statement makes of it. Pure: no clock, no database."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from proof.ramp.providers.protocols import Observation
from proof.ramp.transactions.transitions import Alert, move
from proof.ramp.types import Status

_PROCESSED = frozenset({Status.PROCESSING, Status.COMPLETED})


@dataclass(frozen=True, slots=True)
class State:
    """What changes of a transaction. `event_count` is the sequence of its newest event, 0 without one;
    fiat is empty and None until it is processing."""

    status: Status
    event_count: int
    crypto_amount: Decimal
    fiat_currency: str
    fiat_amount: Decimal | None
    payment_method: str | None
    reference: str | None
    updated_at: datetime

    @property
    def captured(self) -> bool:
        """Whether it was ever processing: a failure then was its second event."""
        return self.status in _PROCESSED or (self.status is Status.FAILED and self.event_count > 1)


class Step(NamedTuple):
    """What a statement did: each state the transaction took, in order, and how it stands in the end."""

    states: tuple[State, ...]
    final: State
    alert: Alert | None


def observed(state: State, observation: Observation, now: datetime) -> Step:
    """The step that a provider's statement makes at `now`, the present of the transaction's environment."""
    moved = move(state.status, state.captured, observation.verdict)
    if observation.reference is not None:
        state = replace(state, reference=observation.reference)
    if not moved.statuses:
        return Step((), state, moved.alert)
    state = replace(state, payment_method=observation.payment_method or state.payment_method)
    captured = state.captured or Status.PROCESSING in moved.statuses
    stated, alert = _with_amounts(state, observation) if captured else (state, None)
    step = advanced(stated, moved.statuses, now)
    return Step(step.states, step.final, moved.alert or alert)


def advanced(state: State, statuses: tuple[Status, ...], now: datetime) -> Step:
    """The step through these statuses, each with an event of its own."""
    states: list[State] = []
    for status in statuses:
        count = state.event_count + 1
        state = replace(state, status=status, event_count=count, updated_at=now)
        states.append(state)
    return Step(tuple(states), state, None)


def _with_amounts(state: State, observation: Observation) -> tuple[State, Alert | None]:
    """With what the provider said of money. A crypto amount other than the one agreed is what happened, so
    it is taken, and a person is told; one that is no amount is not taken."""
    alert = None
    if (crypto := observation.crypto_amount) is not None and crypto != state.crypto_amount:
        alert = Alert.AMOUNT_DIFFERS
        if _is_amount(crypto):
            state = replace(state, crypto_amount=crypto)
    fiat = observation.fiat_amount
    if fiat is None or observation.fiat_currency is None:
        return state, alert
    if not _is_amount(fiat):
        return state, Alert.AMOUNT_DIFFERS
    return replace(state, fiat_currency=observation.fiat_currency, fiat_amount=fiat), alert


def _is_amount(amount: Decimal) -> bool:
    return amount.is_finite() and amount > 0
