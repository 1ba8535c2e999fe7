"""Moving transactions: by what providers say, by time running out, by an operator's word.

Everything happens in the caller's database transaction: the guarded UPDATE, the records of the events and
their rows in the outbox are there together or not at all. Whatever comes twice, late or out of order, a
status that was reached is not left again but along the table of transitions.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from uuid import UUID

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.events import publish
from proof.partners import audit
from proof.partners.audit import Actor
from proof.partners.environments import names_of
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.providers.callbacks import StoredCallback
from proof.ramp.providers.protocols import Observation
from proof.ramp.transactions import polling, queries
from proof.ramp.transactions.alerts import raise_alerts
from proof.ramp.transactions.events import (
    Cause,
    CausedBy,
    Identity,
    Resolution,
    StatusEvent,
    record_cause,
    refund_event,
    status_event,
)
from proof.ramp.transactions.identities import identities
from proof.ramp.transactions.queries import LockedTransaction
from proof.ramp.transactions.state import (
    StateChanges,
    TransactionState,
    advanced,
    observed,
    refunded,
)
from proof.ramp.transactions.transitions import Alert, path, refund_path
from proof.ramp.types import FailureReason, RefundStatus, Status, TransactionType
from proof.ramp.wire import explorer_url, refund_fields

LONGEST_REASON = 500

# Shorter ones are words of any sentence, and tell nobody who it was.
_TELLING = 4


@dataclass(frozen=True, slots=True)
class Statement:
    """What a provider said, and the partner environment whose account the words came through: an account
    speaks for the transactions of its own environment alone. None when we asked about this transaction.
    `callback` is what brought the words, None when they answer a question of ours."""

    observation: Observation
    partner_environment_id: int | None = None
    callback: StoredCallback | None = None


@dataclass(frozen=True, slots=True)
class ObservationResult:
    """What a statement did: the statuses and the steps of a refund taken, in order. `known` is false when
    the account has no such transaction, `erased` true when its user asked to be forgotten."""

    statuses: tuple[Status, ...] = ()
    alert: Alert | None = None
    refunds: tuple[RefundStatus, ...] = ()
    known: bool = True
    erased: bool = False


@dataclass(slots=True)
class _Change:
    """A locked transaction, and the states it is about to take, with what each step comes from."""

    locked: LockedTransaction
    state: TransactionState
    taken: list[tuple[Cause, tuple[TransactionState, ...]]] = field(default_factory=list)

    def take(self, step: StateChanges, cause: Cause) -> None:
        """Take a step's states."""
        if step.states:
            self.taken.append((cause, step.states))
        self.state = step.final


async def observe_all(
    tx: Connection, vault: Vault, statements: Sequence[Statement], now: datetime
) -> list[ObservationResult]:
    """Apply what providers said, in the order given; one outcome for each statement.

    `now` is the clock's own time; a sandbox's offset is added here. What is new is kept, whether it moved
    anything or not. Raises SealError.
    """
    locked = await queries.lock(
        tx, {statement.observation.merchant_transaction_id for statement in statements}
    )
    changes = {
        transaction_id: _Change(transaction, transaction.state)
        for transaction_id, transaction in locked.items()
    }
    outcomes = [_apply(changes, statement, now) for statement in statements]
    spoken_of = {
        statement.observation.merchant_transaction_id
        for statement, outcome in zip(statements, outcomes, strict=True)
        if outcome.known
    }
    if spoken_of:
        await _write(tx, vault, [changes[each] for each in sorted(spoken_of)], now)
        outcomes = [
            await _hear_refund(tx, vault, statement, outcome, now)
            for statement, outcome in zip(statements, outcomes, strict=True)
        ]
        heard = [
            (statement.observation, outcome.alert)
            for statement, outcome in zip(statements, outcomes, strict=True)
            if outcome.known
        ]
        await _keep(tx, heard, now)
        awaiting = [observation for observation, _ in heard if observation.awaits_deposit]
        await _show_deposits(tx, changes, awaiting, now)
    return outcomes


async def end(
    tx: Connection,
    vault: Vault,
    transaction_id: UUID,
    now: datetime,
    *,
    expected: TransactionState,
    reason: FailureReason,
) -> bool:
    """Let a pending transaction fail whose time has run out; whether it did.

    It does not when anything happened to it since `expected` was read.
    """
    locked = (await queries.lock(tx, [transaction_id])).get(transaction_id)
    if locked is None or locked.state != expected or expected.status is not Status.PENDING:
        return False
    step = _step(locked, (Status.FAILED,), now, reason)
    await _write(tx, vault, [_changed(locked, step, CausedBy.EXPIRY)], now)
    return True


async def resolve(
    tx: Connection,
    vault: Vault,
    transaction_id: UUID,
    status: Status,
    reason: str,
    actor: Actor,
    now: datetime,
) -> ObservationResult:
    """Bring a transaction to `completed` or `failed` by an operator's word, or confirm that it is there;
    its alert is cleared. Audited.

    Raises NotFoundError, ConflictError when it ended otherwise, and InvalidInputError for another status
    or a reason that is empty, over LONGEST_REASON characters or holds what the transaction knows of its
    person: the audit log is never erased. That it holds nothing else of a person is not checked.
    """
    if status not in {Status.COMPLETED, Status.FAILED}:
        raise InvalidInputError("status: a transaction is resolved as completed or failed")
    locked = await _lock_for_operator(tx, transaction_id, reason)
    was = locked.state.status
    if was.terminal and was is not status:
        raise ConflictError(f"{transaction_id} is {was} for good; only that can be confirmed")
    await _require_nobody(tx, vault, locked, reason)
    statuses, word = path(was, status), Resolution(status, actor.name, reason)
    if statuses:
        step = _step(locked, statuses, now, _resolved_as(locked))
        await _write(tx, vault, [_changed(locked, step, word)], now)
    else:
        await _record_confirmation(tx, vault, locked, word, now)
    await queries.clear_alert(tx, transaction_id)
    before = {"status": was.value, "alert": locked.alert}
    after = {"status": status.value, "reason": reason}
    await _audit(tx, locked, "transaction.resolve", before, after, actor)
    return ObservationResult(statuses)


async def refund(
    tx: Connection,
    vault: Vault,
    transaction_id: UUID,
    status: RefundStatus,
    amount: Decimal,
    reason: str,
    actor: Actor,
    now: datetime,
) -> TransactionState:
    """Tell by an operator's word that a buy's payment is asked back, was given back or charged back;
    `amount` is in the transaction's currency. Its status and its alert stay. Audited.

    Raises NotFoundError, what `refunded` raises, and InvalidInputError for a reason that `resolve` does not
    take.
    """
    locked = await _lock_for_operator(tx, transaction_id, reason)
    recorded_at = locked.recorded_at(now)
    state = refunded(locked.state, locked.type, status, amount, recorded_at)
    await _require_nobody(tx, vault, locked, reason)
    await _give_back(tx, vault, locked, [state], CausedBy.OPERATOR, now)
    told = refund_fields(partial(getattr, state)) | {"reason": reason}
    before = refund_fields(partial(getattr, locked.state))
    await _audit(tx, locked, "transaction.refund", before, told, actor)
    return state


async def _hear_refund(
    tx: Connection, vault: Vault, statement: Statement, outcome: ObservationResult, now: datetime
) -> ObservationResult:
    """What a statement does to the refund, once every status is written; what it cannot have given back
    alerts."""
    said = statement.observation
    if said.refund_status is None or not outcome.known:
        return outcome
    locked = (await queries.lock(tx, [said.merchant_transaction_id]))[said.merchant_transaction_id]
    state, states = locked.state, []
    steps = refund_path(state.refund_status, said.refund_status)
    amount = said.refund_amount or state.refund_amount or state.fiat_amount or Decimal(0)
    try:
        for step in steps:
            state = refunded(state, locked.type, step, amount, locked.recorded_at(now))
            states.append(state)
    except ConflictError:
        return replace(outcome, alert=Alert.CONTRADICTION)
    except InvalidInputError:
        return replace(outcome, alert=Alert.AMOUNT_DIFFERS)
    if states:
        await _give_back(tx, vault, locked, states, statement.callback or CausedBy.PROVIDER, now)
    return replace(outcome, refunds=steps)


async def _give_back(
    tx: Connection,
    vault: Vault,
    locked: LockedTransaction,
    states: Sequence[TransactionState],
    cause: Cause,
    now: datetime,
) -> None:
    identity, recorded_at = await _identity(tx, vault, locked, now), locked.recorded_at(now)
    record_cause(identity, cause, recorded_at)
    events = [refund_event(identity, state, cause, recorded_at) for state in states]
    was = locked.state.refund_status
    for state in states:
        if not await queries.write_refund(tx, locked.id, was, state):
            raise RuntimeError("a transaction changed although it was locked; nothing was written")
        was = state.refund_status
    await queries.add_records(tx, identity.chain.new)
    await queries.lengthen(tx, identity.chain, recorded_at)
    await publish(tx, events)


def _apply(
    changes: Mapping[UUID, _Change], statement: Statement, now: datetime
) -> ObservationResult:
    observation = statement.observation
    change = changes.get(observation.merchant_transaction_id)
    if change is None:
        return ObservationResult(known=False)
    if statement.partner_environment_id not in {None, change.locked.partner_environment_id}:
        return ObservationResult(known=False)
    locked = change.locked
    step = observed(change.state, locked.type, observation, now + locked.offset)
    change.take(step, statement.callback or CausedBy.PROVIDER)
    statuses = tuple(state.status for state in step.states)
    return ObservationResult(statuses, step.alert, erased=locked.erased)


def _step(
    locked: LockedTransaction, statuses: tuple[Status, ...], now: datetime, reason: FailureReason
) -> StateChanges:
    return advanced(locked.state, locked.type, statuses, now + locked.offset, reason)


def _changed(locked: LockedTransaction, step: StateChanges, cause: Cause) -> _Change:
    change = _Change(locked, locked.state)
    change.take(step, cause)
    return change


def _resolved_as(locked: LockedTransaction) -> FailureReason:
    """Why a transaction fails that an operator ends: what was paid for did not come."""
    if locked.state.status is not Status.PROCESSING:
        return FailureReason.OTHER
    sale = locked.type is TransactionType.SELL
    return FailureReason.PAYOUT_FAILED if sale else FailureReason.DELIVERY_FAILED


async def _write(tx: Connection, vault: Vault, changes: Sequence[_Change], now: datetime) -> None:
    moved = [change for change in changes if change.taken]
    if moved:
        await _move(tx, vault, moved, now)
    references = {
        change.locked.id: change.state.reference
        for change in changes
        if not change.taken and change.state.reference not in {None, change.locked.state.reference}
    }
    if references:
        await queries.write_references(tx, references)
    await polling.ask_again(tx, [change.locked.id for change in changes], now + polling.FIRST_POLL)


async def _move(tx: Connection, vault: Vault, moved: Sequence[_Change], now: datetime) -> None:
    names = await names_of(tx, {change.locked.partner_environment_id for change in moved})
    for change in moved:
        _link(change, names[change.locked.partner_environment_id][1])
    known = await identities(tx, vault, [change.locked for change in moved], names, now)
    events = [_events(change, known[change.locked.id], now) for change in moved]
    rows = [
        (change.locked, change.state, made[-1].record.sha256, known[change.locked.id].chain)
        for change, made in zip(moved, events, strict=True)
    ]
    if len(await queries.write_moves(tx, rows)) != len(moved):
        raise RuntimeError("a transaction changed although it was locked; nothing was written")
    await queries.add_records(tx, [record for *_, chain in rows for record in chain.new])
    await publish(tx, [event.published() for made in events for event in made])


def _events(change: _Change, identity: Identity, now: datetime) -> list[StatusEvent]:
    """The events of a change, in order, their records and those of their causes appended to the chain."""
    events: list[StatusEvent] = []
    recorded_at = change.locked.recorded_at(now)
    for cause, states in change.taken:
        record_cause(identity, cause, recorded_at)
        for state in states:
            recorded_at = max(recorded_at, state.updated_at)
            events.append(status_event(identity, state, cause, recorded_at))
    return events


async def _record_confirmation(
    tx: Connection, vault: Vault, locked: LockedTransaction, word: Resolution, now: datetime
) -> None:
    identity = await _identity(tx, vault, locked, now)
    recorded_at = locked.recorded_at(now)
    record_cause(identity, word, recorded_at)
    await queries.add_records(tx, identity.chain.new)
    await queries.lengthen(tx, identity.chain, recorded_at)


async def _identity(
    tx: Connection, vault: Vault, locked: LockedTransaction, now: datetime
) -> Identity:
    names = await names_of(tx, [locked.partner_environment_id])
    return (await identities(tx, vault, [locked], names, now))[locked.id]


async def _lock_for_operator(
    tx: Connection, transaction_id: UUID, reason: str
) -> LockedTransaction:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise InvalidInputError(f"reason: it has 1 to {LONGEST_REASON} characters")
    locked = (await queries.lock(tx, [transaction_id])).get(transaction_id)
    if locked is None:
        raise NotFoundError(f"there is no transaction {transaction_id}")
    return locked


async def _require_nobody(
    tx: Connection, vault: Vault, locked: LockedTransaction, reason: str
) -> None:
    known = await personal.read(tx, vault, locked.id)
    about = {kind.value: value for kind, value in known.items()} | {
        "partner_user_id": locked.partner_user_id,
        "partner_reference": locked.partner_reference,
    }
    for name, value in about.items():
        if len(value) >= _TELLING and re.search(
            rf"(?<!\w){re.escape(value)}(?!\w)", reason, re.IGNORECASE
        ):
            raise InvalidInputError(
                f"reason: it holds the transaction's {name}, and the audit log is never erased; say it"
                " without"
            )


def _link(change: _Change, environment: Environment) -> None:
    """Say where the transaction on the chain can be looked up, where its provider did not."""

    def linked(state: TransactionState) -> TransactionState:
        if not state.chain_transaction or state.chain_transaction_url:
            return state
        url = explorer_url(change.locked.network, environment, state.chain_transaction)
        return replace(state, chain_transaction_url=url)

    change.taken = [(cause, tuple(map(linked, states))) for cause, states in change.taken]
    change.state = linked(change.state)


async def _keep(
    tx: Connection, heard: Iterable[tuple[Observation, Alert | None]], now: datetime
) -> None:
    """Keep the statements that are new, and raise their alerts; a repeated statement raises none."""
    # Repeated statements are merged, since one SQL statement cannot insert the same key twice.
    said = {
        (statement.merchant_transaction_id, statement.occurred_at, statement.said): (
            statement,
            alert,
        )
        for statement, alert in heard
    }
    new = await queries.keep_statements(tx, list(said.values()), now)
    alerts = {
        statement.merchant_transaction_id: alert
        for key, (statement, alert) in said.items()
        if alert is not None and key in new
    }
    await raise_alerts(tx, alerts, now)


async def _show_deposits(
    tx: Connection, changes: Mapping[UUID, _Change], heard: Sequence[Observation], now: datetime
) -> None:
    # The provider's times are by our clock; the window is by the environment's, which may be ahead.
    shown = {
        observation.merchant_transaction_id: min(observation.occurred_at, now)
        + changes[observation.merchant_transaction_id].locked.offset
        for observation in sorted(heard, key=lambda statement: statement.occurred_at, reverse=True)
    }
    if shown:
        await queries.show_deposits(tx, shown)


async def _audit(
    tx: Connection,
    locked: LockedTransaction,
    action: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    actor: Actor,
) -> None:
    names = await names_of(tx, [locked.partner_environment_id])
    partner_id, environment = names[locked.partner_environment_id]
    named = {"merchant_transaction_id": str(locked.id), "environment": environment.value}
    await audit.record(tx, actor, action, partner_id, before=before, after={**named, **after})
