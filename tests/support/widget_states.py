"""Every state that /w/api can answer: the simulator's rules played through, for whatever a user does and
however its callbacks lag, drop or overtake each other, and a provider whose widget is its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID, uuid4

from tests.support.widget_truth import Facts

from proof.core.errors import ConflictError
from proof.partners.types import Environment
from proof.partners.widgets import WidgetOwner
from proof.ramp.providers.outcomes import OUTCOMES, TestOutcome
from proof.ramp.providers.protocols import Attempt, AttemptResult, PaymentMethod, ProviderStatus
from proof.ramp.providers.simulator import operations, wire
from proof.ramp.providers.simulator.adapter import _progress, price
from proof.ramp.providers.simulator.play import Operation, Play, Post, first_kyc
from proof.ramp.sessions.state import ProviderView, WidgetState, state_of
from proof.ramp.sessions.types import StoredParameters
from proof.ramp.sessions.widget_queries import WidgetSession
from proof.ramp.transactions.state import TransactionState as Record
from proof.ramp.transactions.state import observed
from proof.ramp.types import FailureReason, KycStatus, Status, TransactionType
from proof.ramp.wire import money_fields

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_TRANSACTION = UUID(int=7)
_AMOUNT = Decimal(100)
_DEEPEST = 12
_RECORD = Record(Status.PENDING, 0, _AMOUNT, "", None, None, None, NOW)
_RECORDS = {
    (status, count, reason): replace(
        _RECORD, status=status, event_count=count, failure_reason=reason
    )
    for status, count, reason in (
        (Status.PROCESSING, 1, FailureReason.NONE),
        (Status.COMPLETED, 2, FailureReason.NONE),
        (Status.CANCELLED, 1, FailureReason.NONE),
        (Status.FAILED, 1, FailureReason.OTHER),
        (Status.FAILED, 1, FailureReason.SESSION_EXPIRED),
        (Status.FAILED, 1, FailureReason.IDENTITY_REFUSED),
        (Status.FAILED, 2, FailureReason.OTHER),
    )
}


class Answerable(NamedTuple):
    """A state that the API can answer, and what is so of its transaction."""

    state: WidgetState
    facts: Facts


def answerable() -> dict[str, Answerable]:
    """All of them by a name that says what the page can see of each."""
    found: dict[str, Answerable] = {}
    for item in (*_of_the_simulator(), *_of_another_provider()):
        known = found.setdefault(name_of(item.state), item)
        same = (known.facts.allowed, known.facts.required)
        assert same == (item.facts.allowed, item.facts.required), "one answer for two truths"
    return found


def name_of(state: WidgetState) -> str:
    """What two states that the page draws alike have in common."""
    shown = "shown" if state.deposit else ""
    parts = (
        state.type,
        state.status,
        state.step,
        f"end={state.end or ''}",
        "paid" if state.paid else "",
        f"kyc={state.kyc}",
        f"reason={state.failure_reason}",
        f"attempt={state.attempt.result}",
        shown,
        state.provider,
    )
    return " ".join(part for part in parts if part)


def _of_the_simulator() -> Iterator[Answerable]:
    for outcome in OUTCOMES:
        for kind in sorted(outcome.types):
            for operation in _played(kind, outcome):
                # In one order in every process, or a parallel run cannot share the tests out.
                for record in sorted(_records(operation), key=repr):
                    yield _answer(operation, record)


def _played(kind: TransactionType, outcome: TestOutcome) -> Iterator[Operation]:
    """Every operation that users and time can make of an outcome."""
    quote = price(kind, "USDT", _AMOUNT, "EUR", NOW)
    starts = [
        first_kyc(outcome.name, known) for known in (KycStatus.NOT_STARTED, KycStatus.VERIFIED)
    ]
    waiting = [
        Operation(
            id="sim",
            kind=kind,
            crypto_amount=str(_AMOUNT),
            fiat_currency="EUR",
            fiat_amount=str(quote.fiat_amount),
            outcome=outcome.name,
            kyc=kyc,
        )
        for kyc in starts
    ]
    met: set[str] = set()
    for _ in range(_DEEPEST):
        following: list[Operation] = []
        for operation in waiting:
            if (look := _poll(operation)) not in met:
                met.add(look)
                yield operation
                following += _next(operation)
        waiting = following
    assert not waiting or all(_poll(item) in met for item in waiting), (
        "some were not played to the end"
    )


def _poll(operation: Operation) -> str:
    said = [(item.leg, item.status) for item in operation.said]
    steps = sorted((step.leg or "", step.status, step.kyc or "") for step in operation.steps)
    results = [attempt.result for attempt in operation.attempts]
    return repr((operation.kyc, results, said, steps, operation.deposit_shown_at is None))


def _next(operation: Operation) -> Iterator[Operation]:
    """What one act of the user's, or the next step of the provider's, makes of an operation."""
    now = NOW + timedelta(seconds=len(operation.said))
    last = operation.attempts[-1].id if operation.attempts else uuid4()
    acts: list[Callable[[Play], None]] = [
        lambda play: play.submit_kyc(now),
        lambda play: play.pay(uuid4(), PaymentMethod.CARD, None, now),
        lambda play: play.answer_challenge(last, passed=True, now=now),
        lambda play: play.answer_challenge(last, passed=False, now=now),
        lambda play: play.show_deposit(now),
        lambda play: play.cancel(now),
        lambda play: play.run_due(operation.due_at or now),
    ]
    for act in acts:
        play = Play(operation)
        try:
            act(play)
        except ConflictError:
            continue
        yield play.operation


def _records(operation: Operation) -> set[Record]:
    """How far the record may be by what was said: some of the callbacks, in any order, or the time that
    a session without a payment is given."""
    said = operation.said
    orders = [said[:count] for count in range(len(said) + 1)]
    orders += [(item,) for item in said] + [tuple(reversed(said))]
    found = {_record(operation, order) for order in orders}
    if not operation.paid and operation.end is None:
        found.add(_RECORDS[Status.FAILED, 1, FailureReason.SESSION_EXPIRED])
    return found


def _record(operation: Operation, said: Sequence[wire.Statement]) -> Record:
    record = _RECORD
    for statement in said:
        body = operations.callback(operation, _TRANSACTION, Post(statement, statement.at))
        record = observed(record, operation.kind, wire.observation(body), NOW).final
    return record


def _answer(operation: Operation, record: Record) -> Answerable:
    held = _held(operation.kind, record)
    quote = price(operation.kind, "USDT", _AMOUNT, "EUR", NOW)
    progress = _progress(operation, held.subject(None, None, None))
    seen = ProviderView(
        now=NOW, provider="sandbox", address="0x" + "ab" * 20, progress=progress, quote=quote
    )
    said = {(item.leg, item.status) for item in operation.said}
    facts = Facts(
        status=record.status,
        paid=any(attempt.result is AttemptResult.CAPTURED for attempt in operation.attempts)
        or (wire.Leg.DEPOSIT, "received") in said,
        cancelled=any(what == "cancelled" for _, what in said),
        failed=any(wire.VERDICTS[leg, what] is ProviderStatus.FAILED for leg, what in said),
        undeliverable=(wire.Leg.DELIVERY, "failed") in said,
        declined=_declined(operation.attempts),
    )
    return Answerable(state_of(held, _owner(), seen), facts)


def _declined(attempts: Sequence[Attempt]) -> bool:
    return bool(attempts) and attempts[-1].result is AttemptResult.DECLINED


def _of_another_provider() -> Iterator[Answerable]:
    """What is known of a provider whose widget is its own: the record, and who the user is."""
    for kind in TransactionType:
        for record in _RECORDS.values():
            for kyc in KycStatus:
                going_on = record.status is Status.PROCESSING and kind is TransactionType.BUY
                for stuck in sorted({False, going_on}):
                    held = _held(kind, record, kyc, undeliverable=stuck)
                    facts = Facts(record.status, paid=record.captured, undeliverable=stuck)
                    seen = ProviderView(now=NOW, provider="mercuryo", address="")
                    yield Answerable(state_of(held, _owner(), seen), facts)


def _owner() -> WidgetOwner:
    return WidgetOwner(
        partner_environment_id=1,
        environment=Environment.SANDBOX,
        partner_name="Acme Exchange",
        suspended=False,
        origins=(),
    )


def _held(
    kind: TransactionType,
    record: Record,
    kyc: KycStatus = KycStatus.NOT_STARTED,
    *,
    undeliverable: bool = False,
) -> WidgetSession:
    parameters = StoredParameters(
        merchant_transaction_id=str(_TRANSACTION),
        widget_id="wdg",
        signature="v2:",
        currency="USDT",
        currencies=("USDT",),
        network="TRC20",
        networks=("TRC20",),
        amount="100",
        fiat_currency="EUR",
        fiat_currencies=("EUR", "USD"),
        type=kind,
        lang="en",
        theme="light",
        redirect_url="",
    )
    return WidgetSession(
        id=b"",
        signing_key_id=_TRANSACTION,
        parameters=parameters,
        init_expires_at=NOW + timedelta(hours=1),
        exchanged_at=NOW,
        token_sha256=b"",
        expires_at=NOW + timedelta(hours=24),
        over=False,
        fiat_currency="EUR",
        transaction_id=_TRANSACTION,
        partner_environment_id=1,
        type=kind,
        status=record.status,
        captured=record.captured,
        undeliverable=undeliverable,
        currency="USDT",
        network="TRC20",
        crypto_amount=_AMOUNT,
        payment_method=None,
        updated_at=NOW,
        provider_account_id=None,
        provider_reference=None,
        partner_user_id="user",
        kyc=kyc,
        offset=timedelta(0),
        money=money_fields(lambda name: getattr(record, name)),
    )
