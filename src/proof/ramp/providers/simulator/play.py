"""The simulator's rules: what an operation does when its user acts and when time passes.

Nothing here reads a clock or a database: `Play` takes an operation, is told what happens at which moment,
and holds the operation afterwards with what is to be posted. Moments are those of the sandbox's clock.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from msgspec import Struct
from msgspec.structs import replace

from proof.core.errors import ConflictError
from proof.ramp.providers.outcomes import Name
from proof.ramp.providers.protocols import Attempt, AttemptResult, PaymentMethod, ProviderStatus
from proof.ramp.providers.simulator.wire import VERDICTS, Leg, Statement
from proof.ramp.types import KycStatus, RefundStatus, TransactionType

DEPOSIT_WINDOW = timedelta(hours=6)

ATTEMPTS = 3

_IDENTITY_S = 2

_SLOW_IDENTITY_S = 600

_FIRST_LEG_S = 1

_SECOND_LEG_S = 2

_END_S = 4

# Counted from the payment: after the coins were delivered.
_REFUND_S = 6

_REFUNDED_S = 8

_LATE_S = 600

_TWICE_S = 1

_OUT_OF_ORDER_S = 20

_FINAL = frozenset(
    {
        ProviderStatus.FAILED,
        ProviderStatus.COMPLETED,
        ProviderStatus.CANCELLED,
        ProviderStatus.UNDELIVERABLE,
    }
)


class ScheduledStatement(Struct, frozen=True):
    """What the provider does of itself at a moment: says something, or decides about the identity."""

    at: datetime
    leg: Leg | None = None
    status: str = ""
    kyc: KycStatus | None = None


class Operation(Struct, frozen=True, kw_only=True):
    """One transaction at the simulated provider; `fiat_amount` is all that is paid or got. `scripted`:
    POST /simulate acts as its user."""

    id: str
    kind: TransactionType
    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    outcome: Name
    kyc: KycStatus
    fiat_fee: str = ""
    rate: str = ""
    network: str = ""
    attempts: tuple[Attempt, ...] = ()
    said: tuple[Statement, ...] = ()
    steps: tuple[ScheduledStatement, ...] = ()
    deposit_shown_at: datetime | None = None
    scripted: bool = False

    @property
    def started(self) -> bool:
        """Whether its user did anything yet."""
        return bool(self.attempts or self.said or self.steps)

    @property
    def priced(self) -> bool:
        """Whether the fiat currency is settled: somebody tried to pay, or was shown where to deposit."""
        return bool(self.attempts) or self.deposit_shown_at is not None

    @property
    def paid(self) -> bool:
        """Whether the money was captured, or the coins of a sell were received."""
        captured = any(attempt.result is AttemptResult.CAPTURED for attempt in self.attempts)
        return captured or any(statement.status == "received" for statement in self.said)

    @property
    def end(self) -> ProviderStatus | None:
        """What was said last that is final."""
        verdicts = [VERDICTS[statement.leg, statement.status] for statement in self.said]
        return next((verdict for verdict in reversed(verdicts) if verdict in _FINAL), None)

    @property
    def closed(self) -> bool:
        """Whether nothing the user does makes a difference: something final was said, or it was paid."""
        return self.paid or self.end is not None

    @property
    def due_at(self) -> datetime | None:
        """When the next step is due."""
        return min((step.at for step in self.steps), default=None)

    def newest(self) -> list[Statement]:
        """The last statement of each leg, in their order: what the provider answers when it is asked."""
        return list({statement.leg: statement for statement in self.said}.values())


class Post(Struct, frozen=True):
    """A statement that is to be posted at a moment."""

    statement: Statement
    at: datetime


class Play:
    """One run over an operation; afterwards `operation` is to be stored and `posts` to be sent. `kyc` is
    what became known of the user's identity, None for nothing new."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.posts: list[Post] = []
        self.kyc: KycStatus | None = None

    def script(self, outcome: Name, now: datetime) -> None:
        """Act as the user from here on. Raises ConflictError when somebody else did."""
        if self.operation.scripted and self.operation.outcome is outcome:
            return
        if self.operation.started:
            raise ConflictError("this transaction is under way already; simulate another one")
        kyc = first_kyc(outcome, self.operation.kyc)
        self.operation = replace(self.operation, outcome=outcome, scripted=True, kyc=kyc)
        self._act_as_user(now)

    def submit_kyc(self, now: datetime) -> None:
        """Papers and face; what was decided, or is being decided, stays."""
        if self.operation.closed or self.operation.kyc in {KycStatus.PENDING, KycStatus.VERIFIED}:
            return
        outcome = self.operation.outcome
        verdict = KycStatus.FAILED if outcome is Name.KYC_FAILED else KycStatus.VERIFIED
        after_s = _SLOW_IDENTITY_S if outcome is Name.KYC_SLOW else _IDENTITY_S
        decided_at = now + timedelta(seconds=after_s)
        self._identify(KycStatus.PENDING)
        if verdict is KycStatus.FAILED:
            # The refusal is planned before the verdict, so that the user cannot try again in between.
            self._plan(ScheduledStatement(decided_at, self._first_leg, "refused"))
        self._plan(ScheduledStatement(decided_at, kyc=verdict))

    def pay(
        self, attempt_id: UUID, method: PaymentMethod, outcome: Name | None, now: datetime
    ) -> None:
        """An attempt to pay. Raises ConflictError while the identity is not verified."""
        operation = self.operation
        known = any(attempt.id == attempt_id for attempt in operation.attempts)
        asked = bool(operation.attempts) and self._last.result is AttemptResult.CHALLENGE
        if known or asked or operation.closed or operation.kind is TransactionType.SELL:
            return
        if operation.kyc is not KycStatus.VERIFIED:
            raise ConflictError("the identity is not verified yet; nothing can be paid")
        if outcome is not None:
            self.operation = operation = replace(operation, outcome=outcome)
        if operation.outcome is Name.USER_CANCELS:
            self._say(Leg.PAYMENT, "cancelled", now)
            return
        result = _result(operation)
        attempt = Attempt(attempt_id, method, result)
        self.operation = replace(operation, attempts=(*operation.attempts, attempt))
        self._settle(result, now)

    def answer_challenge(self, attempt_id: UUID, *, passed: bool, now: datetime) -> None:
        """What the user told the bank; nothing unless this attempt is being asked about."""
        operation = self.operation
        if operation.closed or not operation.attempts:
            return
        if (self._last.id, self._last.result) != (attempt_id, AttemptResult.CHALLENGE):
            return
        result = AttemptResult.CAPTURED if passed else AttemptResult.DECLINED
        answered = Attempt(attempt_id, self._last.method, result)
        self.operation = replace(operation, attempts=(*operation.attempts[:-1], answered))
        self._settle(result, now)

    def show_deposit(self, now: datetime) -> None:
        """Show the deposit address of a sell. Raises ConflictError while the identity is not verified."""
        operation = self.operation
        shown = operation.deposit_shown_at is not None
        if shown or operation.closed or operation.kind is TransactionType.BUY:
            return
        if operation.kyc is not KycStatus.VERIFIED:
            raise ConflictError("the identity is not verified yet; nothing can be deposited")
        self.operation = replace(operation, deposit_shown_at=now)
        self._say(Leg.DEPOSIT, "waiting", now)
        if operation.outcome is Name.DEPOSIT_NEVER_ARRIVES:
            self._plan(ScheduledStatement(now + DEPOSIT_WINDOW, Leg.DEPOSIT, "expired"))
        elif operation.outcome is Name.USER_CANCELS:
            self._plan(
                ScheduledStatement(now + timedelta(seconds=_FIRST_LEG_S), Leg.DEPOSIT, "cancelled")
            )
        else:
            failed = operation.outcome is Name.DELIVERY_FAILED
            self._plan_legs(
                now, (Leg.DEPOSIT, "received"), Leg.PAYOUT, "failed" if failed else "paid"
            )

    def cancel(self, now: datetime) -> None:
        """The user gives up; what was planned does not happen, but for the check of the identity."""
        if not self.operation.closed:
            checks = tuple(step for step in self.operation.steps if step.kyc is not None)
            self.operation = replace(self.operation, steps=checks)
            self._say(self._first_leg, "cancelled", now)

    def run_due(self, now: datetime) -> None:
        """Take every step that is due, each at its own moment, and those that follow from them."""
        while self.operation.steps and min(step.at for step in self.operation.steps) <= now:
            step = min(self.operation.steps, key=lambda statement: statement.at)
            left = list(self.operation.steps)
            left.remove(step)
            self.operation = replace(self.operation, steps=tuple(left))
            if step.kyc is not None:
                self._identify(step.kyc)
            elif step.leg is not None:
                self._say(step.leg, step.status, step.at)
            self._act_as_user(step.at)

    def _act_as_user(self, now: datetime) -> None:
        """Do what the scripted user does next, as often as there is something to do."""
        before = None
        while self.operation.scripted and self.operation is not before:
            before = self.operation
            if before.kyc in {KycStatus.NOT_STARTED, KycStatus.FAILED}:
                self.submit_kyc(now)
            elif before.kyc is not KycStatus.VERIFIED:
                return
            elif before.attempts and self._last.result is AttemptResult.CHALLENGE:
                self.answer_challenge(self._last.id, passed=True, now=now)
            elif before.kind is TransactionType.SELL:
                self.show_deposit(now)
            else:
                self.pay(uuid4(), PaymentMethod.CARD, None, now)

    @property
    def _last(self) -> Attempt:
        return self.operation.attempts[-1]

    @property
    def _first_leg(self) -> Leg:
        return Leg.PAYMENT if self.operation.kind is TransactionType.BUY else Leg.DEPOSIT

    def _settle(self, result: AttemptResult, now: datetime) -> None:
        if result is AttemptResult.CHALLENGE:
            self._say(Leg.PAYMENT, "challenge", now)
        elif result is AttemptResult.DECLINED:
            declined = [attempt for attempt in self.operation.attempts if attempt.result is result]
            over = len(declined) >= ATTEMPTS
            self._say(Leg.PAYMENT, "refused" if over else "declined", now)
        else:
            failed = self.operation.outcome is Name.DELIVERY_FAILED
            self._plan_legs(
                now, (Leg.PAYMENT, "captured"), Leg.DELIVERY, "failed" if failed else "delivered"
            )
            self._plan_refund(now)

    def _plan_legs(self, now: datetime, first: tuple[Leg, str], leg: Leg, end: str) -> None:
        self._plan(
            ScheduledStatement(now + timedelta(seconds=_FIRST_LEG_S), *first),
            ScheduledStatement(now + timedelta(seconds=_SECOND_LEG_S), leg, "sent"),
            ScheduledStatement(now + timedelta(seconds=_END_S), leg, end),
        )

    def _plan_refund(self, now: datetime) -> None:
        first, second = now + timedelta(seconds=_REFUND_S), now + timedelta(seconds=_REFUNDED_S)
        if self.operation.outcome is Name.REFUNDED:
            self._plan(
                ScheduledStatement(first, Leg.REFUND, RefundStatus.REQUESTED.value),
                ScheduledStatement(second, Leg.REFUND, RefundStatus.REFUNDED.value),
            )
        elif self.operation.outcome is Name.CHARGED_BACK:
            self._plan(ScheduledStatement(first, Leg.REFUND, RefundStatus.CHARGED_BACK.value))

    def _plan(self, *steps: ScheduledStatement) -> None:
        self.operation = replace(self.operation, steps=(*self.operation.steps, *steps))

    def _identify(self, kyc: KycStatus) -> None:
        self.operation = replace(self.operation, kyc=kyc)
        self.kyc = kyc

    def _say(self, leg: Leg, status: str, at: datetime) -> None:
        statement = Statement(leg, status, at)
        self.operation = replace(self.operation, said=(*self.operation.said, statement))
        self.posts += [
            Post(statement, moment) for moment in _moments(self.operation.outcome, statement)
        ]


def first_kyc(outcome: Name, known: KycStatus) -> KycStatus:
    """Where an operation begins: a verified user is not asked again, unless the outcome is about that."""
    asked_again = outcome in {Name.KYC_FAILED, Name.KYC_SLOW}
    verified = known is KycStatus.VERIFIED and not asked_again
    return KycStatus.VERIFIED if verified else KycStatus.NOT_STARTED


def _result(operation: Operation) -> AttemptResult:
    """What becomes of the next attempt."""
    if operation.outcome is Name.CHALLENGE:
        return AttemptResult.CHALLENGE
    first = not operation.attempts
    if operation.outcome is Name.DECLINED or (
        operation.outcome is Name.DECLINED_THEN_SUCCESS and first
    ):
        return AttemptResult.DECLINED
    return AttemptResult.CAPTURED


def _moments(outcome: Name, statement: Statement) -> list[datetime]:
    """When a statement is posted; not at all where callbacks get lost."""
    if outcome is Name.CALLBACK_LOST:
        return []
    if outcome is Name.CALLBACK_TWICE:
        return [statement.at, statement.at + timedelta(seconds=_TWICE_S)]
    if outcome is Name.CALLBACK_LATE:
        return [statement.at + timedelta(seconds=_LATE_S)]
    if outcome is Name.CALLBACKS_OUT_OF_ORDER and not _is_final(statement):
        return [statement.at + timedelta(seconds=_OUT_OF_ORDER_S)]
    return [statement.at]


def _is_final(statement: Statement) -> bool:
    return VERDICTS[statement.leg, statement.status] in _FINAL
