"""Asking providers about every transaction that has not ended, and ending those whose time is over.

A lost callback and a browser that closed early end right all the same. Each poll is: claim and commit,
read, ask the provider with no transaction open, then write what came of it and when to poll again in one
transaction. A worker that dies in between leaves a lease that runs out.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from proof.core.clock import Clock
from proof.core.errors import NotFoundError, OtherSideError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.ramp.errors import ProviderUnavailableError
from proof.ramp.providers import accounts
from proof.ramp.providers.protocols import (
    Account,
    Adapter,
    Observation,
    Polls,
    ProviderStatus,
    ReportsKyc,
    Subject,
)
from proof.ramp.transactions import polling, queries
from proof.ramp.transactions.alerts import raise_alerts
from proof.ramp.transactions.cases import Case, read_case
from proof.ramp.transactions.processing import NOT_WRITABLE, Adapters
from proof.ramp.transactions.service import ObservationResult, Statement, end, observe_all
from proof.ramp.transactions.transitions import Alert
from proof.ramp.types import FailureReason, KycStatus, Status
from proof.ramp.users import known_kyc, record_kyc

# A lease is longer than the time limits of every provider.
LEASE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(hours=1)
# Before its widget is opened no provider is asked about a transaction; this poll notices the opening.
UNOPENED_PAUSE = timedelta(minutes=5)
# A payment is in flight for minutes, a bank transfer for hours.
STUCK_AFTER = timedelta(hours=24)
AT_ONCE = 16
# A provider that did not answer is not asked for this long.
AWAY_PAUSE = timedelta(seconds=30)

# With these verdicts an attempt holds no money.
_DEAD = frozenset({ProviderStatus.DECLINED, ProviderStatus.FAILED, ProviderStatus.CANCELLED})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the provider said. `asked` is false when it could not be asked, so nothing may end for it."""

    observations: Sequence[Observation] = ()
    kyc: KycStatus | None = None
    known_kyc: KycStatus | None = None
    asked: bool = True

    @property
    def live(self) -> bool:
        """Whether an operation is under way that may still take money."""
        return bool(self.observations) and self.observations[-1].verdict not in _DEAD


class Reconciler:
    """Polls transactions that are due; any number of workers may have one."""

    def __init__(self, database: Database, vault: Vault, adapters: Adapters, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._adapters = adapters
        self._clock = clock
        # Until when the accounts of a provider that is away are not asked: each poll would wait for its
        # time limit, and the polls of other providers behind it.
        self._away: dict[UUID, datetime] = {}

    async def due_in(self) -> float | None:
        """In how many seconds a transaction is to be polled; None when all have ended."""
        async with self._database.connection() as connection:
            at = await polling.next_poll(connection)
        return None if at is None else (at - self._clock.now()).total_seconds()

    async def step(self) -> bool:
        """Poll transactions that are due, AT_ONCE at most; whether there may be more."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            due = await polling.claim_due(tx, now, now + LEASE, AT_ONCE)
        await asyncio.gather(*map(self._poll_safely, due))
        return len(due) == AT_ONCE

    async def poll(self, transaction_id: UUID) -> None:
        """Ask about one transaction and write what comes of it. Raises SealError."""
        # The answer may not hold what happens after this moment, so time limits are judged by it.
        asked_at = self._clock.now()
        async with self._database.connection() as connection:
            case = await read_case(connection, self._vault, transaction_id)
            if case is None or case.status.terminal:
                return
            account = await self._account(connection, case)
            kyc = await known_kyc(connection, transaction_id)
        answer = await self._ask(case, account, kyc)
        try:
            async with self._database.transaction() as tx:
                await self._write(tx, case, answer, asked_at)
        except NOT_WRITABLE:
            _log.exception("ramp.poll_failed", transaction=str(transaction_id))
            await self._put_off(case)

    async def _poll_safely(self, transaction_id: UUID) -> None:
        """A transaction whose poll fails holds up no other; its lease is its pause."""
        try:
            await self.poll(transaction_id)
        except OtherSideError as error:
            _log.warning("ramp.poll_failed", transaction=str(transaction_id), error=error.message)
        except Exception:  # noqa: BLE001 - one broken adapter or row; it is logged and tried again
            _log.exception("ramp.poll_failed", transaction=str(transaction_id))

    async def _account(self, connection: Connection, case: Case) -> Account | None:
        """None for a transaction no provider knows of yet."""
        if not case.opened:
            return None
        if case.account_id is None:
            return await accounts.account_of(connection, self._vault, case.partner_environment_id)
        try:
            return await accounts.account(connection, self._vault, case.account_id)
        except NotFoundError:
            return None

    async def _ask(self, case: Case, account: Account | None, known: KycStatus) -> _Answer:
        if account is None:
            return _Answer()
        away_until = self._away.get(account.id)
        if away_until is not None and away_until > self._clock.now():
            return _Answer(asked=False)
        adapter = self._adapters.adapter(account.provider)
        try:
            said = await adapter.poll(account, case.subject) if isinstance(adapter, Polls) else ()
            kyc = await _kyc(adapter, account, case.subject, known)
        except OtherSideError as error:
            _log.warning("ramp.poll_failed", transaction=str(case.id), error=error.message)
            if isinstance(error, ProviderUnavailableError):
                self._away[account.id] = self._clock.now() + AWAY_PAUSE
            return _Answer(asked=False)
        # Observations of other transactions are not applied: this one alone is leased.
        return _Answer(
            [observation for observation in said if observation.merchant_transaction_id == case.id],
            kyc,
            known,
        )

    async def _write(self, tx: Connection, case: Case, answer: _Answer, asked_at: datetime) -> None:
        now = self._clock.now()
        wanted_at, account_id = await polling.hold_poll(tx, case.id)
        statements = [
            Statement(observation, case.partner_environment_id)
            for observation in answer.observations
        ]
        outcomes = await observe_all(tx, self._vault, statements, now) if statements else []
        # That this provider knows nothing of the user is not recorded: another transaction may have told
        # more.
        if answer.kyc not in {None, KycStatus.NOT_STARTED}:
            await record_kyc(tx, case.id, answer.kyc, answer.known_kyc)
        # A widget that was opened meanwhile has another deadline.
        if account_id == case.account_id and _is_over(case, answer, outcomes, asked_at):
            await self._end(tx, case, _reason(case, answer), now)
        moved = any(outcome.statuses for outcome in outcomes)
        polls = 0 if moved or not case.opened else case.polls + 1
        next_at = _next_poll(case, polls, now, asked_at)
        if wanted_at != case.next_poll_at:
            # Meanwhile an earlier poll was asked for, because of something that this answer is too old to
            # hold.
            next_at = min(next_at, wanted_at)
        await polling.poll_again(tx, case.id, next_at, polls)
        alerted = case.alert is not None or any(outcome.alert for outcome in outcomes)
        if not alerted and not moved and _is_stuck(case, now):
            await raise_alerts(tx, {case.id: Alert.STUCK}, now)

    async def _put_off(self, case: Case) -> None:
        """What cannot be written is asked about ever less often, and a person is told."""
        now, polls = self._clock.now(), case.polls + 1
        async with self._database.transaction() as tx:
            await polling.poll_again(tx, case.id, _next_poll(case, polls, now, now), polls)
            if case.alert is None:
                await raise_alerts(tx, {case.id: Alert.NOT_APPLIED}, now)

    async def _end(self, tx: Connection, case: Case, reason: FailureReason, now: datetime) -> None:
        locked = (await queries.lock(tx, [case.id]))[case.id]
        if locked.state.status is case.status and locked.state.updated_at == case.updated_at:
            await end(tx, self._vault, case.id, now, expected=locked.state, reason=reason)


async def _kyc(
    adapter: Adapter, account: Account, subject: Subject, known: KycStatus
) -> KycStatus | None:
    if known is KycStatus.VERIFIED or not isinstance(adapter, ReportsKyc):
        return None
    return await adapter.kyc(account, subject)


def _is_over(
    case: Case, answer: _Answer, outcomes: Sequence[ObservationResult], asked_at: datetime
) -> bool:
    """A sell's window is the contract's own end, whatever the provider is waiting for; a status we do not
    know is no reason to end anything."""
    if not answer.asked or case.overdue(asked_at) < timedelta(0):
        return False
    if any(outcome.statuses or outcome.alert is Alert.UNKNOWN_STATUS for outcome in outcomes):
        return False
    return case.awaits_deposit or not answer.live


def _reason(case: Case, answer: _Answer) -> FailureReason:
    """Why a transaction fails whose time is over."""
    if case.awaits_deposit:
        return FailureReason.DEPOSIT_EXPIRED
    declined = answer.observations and answer.observations[-1].verdict is ProviderStatus.DECLINED
    return FailureReason.PAYMENT_DECLINED if declined else FailureReason.SESSION_EXPIRED


def _is_stuck(case: Case, now: datetime) -> bool:
    if case.status is Status.PROCESSING:
        return now + case.offset - case.updated_at > STUCK_AFTER
    return case.overdue(now) > STUCK_AFTER


def _next_poll(case: Case, polls: int, now: datetime, asked_at: datetime) -> datetime:
    """Twice as long after each poll that found nothing, but when its time is over if that is sooner."""
    # 30 s doubled seven times is over an hour, and a greater exponent would overflow in the end.
    pause = min(polling.FIRST_POLL * (1 << min(polls, 7)), LONGEST_PAUSE)
    if not case.opened:
        pause = UNOPENED_PAUSE
    if case.deadline is None or case.overdue(asked_at) >= timedelta(0):
        return now + pause
    return min(now + pause, case.deadline - case.offset)
