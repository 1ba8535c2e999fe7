"""The simulator as a provider: its page is ours, so it acts for the user too."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TypedDict
from uuid import UUID

from msgspec.structs import replace

from proof.core.ids import random_base62
from proof.db import Connection
from proof.events import notify
from proof.partners.records.sandbox import NEW_SANDBOX
from proof.ramp import clock
from proof.ramp.amounts import amount_text, fiat_text, rate_of
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.outcomes import default_outcome, named
from proof.ramp.providers.protocols import (
    Account,
    Deposit,
    Observation,
    OnBehalf,
    PaymentMethod,
    Progress,
    Quote,
    Reach,
    Subject,
)
from proof.ramp.providers.simulator import operations, wire
from proof.ramp.providers.simulator.play import DEPOSIT_WINDOW, Operation, Play, Post, first_kyc
from proof.ramp.types import KycStatus, TransactionType
from proof.ramp.users import known_kyc

PLAYED = "proof_simulator_played"
"""What PostgreSQL notifies when somebody acted in a simulated widget."""

DEFAULT_FIAT = "EUR"
_VALID = timedelta(minutes=5)
_FEE = Decimal("0.015")
_CENT = Decimal("0.01")

# Dollars for one coin, and units of fiat money for one dollar; a coin or currency that is not listed counts
# as one.
_COINS: Mapping[str, Decimal] = {"BTC": Decimal(60_000), "ETH": Decimal(3_000)}
_FIAT: Mapping[str, Decimal] = {"EUR": Decimal("0.90"), "GBP": Decimal("0.80")}

# The largest amount has 20 digits before the point and 18 after it.
_DIGITS = 60

# Addresses to which nobody has a key.
_DEPOSITS = {wallet.network: wallet.address for wallet in NEW_SANDBOX.wallets}


def price(
    kind: TransactionType, currency: str, amount: Decimal, fiat_currency: str, now: datetime
) -> Quote:
    """Exact to the cent, halves up, at least one cent; the fee is 1.5 %. No fiat currency is euros."""
    chosen = fiat_currency or DEFAULT_FIAT
    rate = _COINS.get(currency, Decimal(1)) * _FIAT.get(chosen, Decimal(1))
    with localcontext() as context:
        context.prec = _DIGITS
        of_coins = max((amount * rate).quantize(_CENT, ROUND_HALF_UP), _CENT)
        fee = (of_coins * _FEE).quantize(_CENT, ROUND_HALF_UP)
        total = of_coins + fee if kind is TransactionType.BUY else of_coins - fee
    return Quote(chosen, total, fee, of_coins, rate_of(of_coins, amount, rate), now + _VALID)


class _Fiat(TypedDict):
    fiat_currency: str
    fiat_amount: str
    fiat_fee: str
    rate: str


class SimulatorAdapter:
    """Every capability but a session of its own: TranslatesCallbacks, Polls, ReportsKyc, Quotes,
    ActsForUser.

    An amount is all that a buyer pays or a seller gets; fee, rate and reason are told with each statement,
    the transaction on the chain once coins moved. Its hash is made up, and its URL leads nowhere.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def verify(self, account: Account, headers: Mapping[str, str], body: bytes) -> str:
        """The simulator signs the bytes as they are."""
        wire.verify(account.credentials["sign_key"], headers, body)
        return "raw"

    def identity(self, body: bytes) -> bytes:
        return wire.identity(body)

    def translate(self, body: bytes) -> Observation:
        return wire.translate(body)

    async def poll(self, account: Account, subject: Subject) -> Sequence[Observation]:
        """The last statement of each leg, whether it was posted or not; steps that are due and were not
        taken yet count, or who moves the clock would find ended what was paid long before."""
        async with self._reach.database.connection() as connection:
            operation = await operations.read(connection, subject.merchant_transaction_id)
            now = await clock.now(connection, account.partner_environment_id, self._reach.clock)
        if operation is None:
            return []
        play = Play(operation)
        play.run_due(now)
        return _observations(play.operation, subject)

    async def kyc(self, account: Account, subject: Subject) -> KycStatus:  # noqa: ARG002
        async with self._reach.database.connection() as connection:
            operation = await operations.read(connection, subject.merchant_transaction_id)
            if operation is not None:
                return operation.kyc
            return await known_kyc(connection, subject.merchant_transaction_id)

    async def quote(self, account: Account, subject: Subject) -> Quote:
        """In the currency that was paid in, once one was."""
        async with self._reach.database.connection() as connection:
            now = await clock.now(connection, account.partner_environment_id, self._reach.clock)
            operation = await operations.read(connection, subject.merchant_transaction_id)
        settled = operation.fiat_currency if operation and operation.priced else ""
        return _price(subject, now, settled or subject.fiat_currency)

    async def progress(
        self,
        connection: Connection,
        account: Account,  # noqa: ARG002
        subject: Subject,
    ) -> Progress | None:
        operation = await operations.read(connection, subject.merchant_transaction_id)
        return None if operation is None else _progress(operation, subject)

    async def choose_outcome(self, user: OnBehalf) -> Progress:
        return await _played(user, lambda _: None)

    async def submit_kyc(self, user: OnBehalf, document: str) -> Progress:  # noqa: ARG002
        return await _played(user, lambda play: play.submit_kyc(user.now))

    async def pay(
        self, user: OnBehalf, attempt_id: UUID, method: PaymentMethod, outcome: str | None
    ) -> Progress:
        chosen = None if outcome is None else named(outcome, TransactionType.BUY).name
        return await _played(user, lambda play: play.pay(attempt_id, method, chosen, user.now))

    async def answer_challenge(self, user: OnBehalf, attempt_id: UUID, *, passed: bool) -> Progress:
        return await _played(
            user, lambda play: play.answer_challenge(attempt_id, passed=passed, now=user.now)
        )

    async def show_deposit(self, user: OnBehalf) -> Progress:
        return await _played(user, lambda play: play.show_deposit(user.now))

    async def cancel(self, user: OnBehalf) -> Progress:
        return await _played(user, lambda play: play.cancel(user.now))

    async def simulate(self, user: OnBehalf, outcome: str) -> Progress:
        chosen = named(outcome, user.subject.type).name
        # No widget was opened that would name the provider account, and without one the reconciler asks
        # nobody.
        await operations.attach(user.tx, user.subject.merchant_transaction_id, user.account.id)
        return await _played(user, lambda play: play.script(chosen, user.now))


async def _played(user: OnBehalf, act: Callable[[Play], None]) -> Progress:
    """Take the steps that are due, then act; what happened is written in the caller's transaction."""
    tx, account, subject, now = user
    name = subject.merchant_transaction_id
    operation = await operations.lock(tx, name)
    begun = operation or _begin(subject, now, await known_kyc(tx, name))
    begun = _in_chosen_fiat(begun, subject, now)
    play = Play(begun)
    play.run_due(now)
    act(play)
    if play.operation is not operation:
        await operations.store(tx, account.id, account.partner_environment_id, name, play)
        await notify(tx, PLAYED)
    return _progress(play.operation, subject)


def _begin(subject: Subject, now: datetime, known: KycStatus) -> Operation:
    quote = _price(subject, now, subject.fiat_currency)
    outcome = default_outcome(subject.type, subject.crypto_amount, subject.email).name
    return Operation(
        id=f"sim_{random_base62(96)}",
        kind=subject.type,
        crypto_amount=amount_text(subject.crypto_amount),
        outcome=outcome,
        kyc=first_kyc(outcome, known),
        network=subject.network,
        **_fiat(quote),
    )


def _in_chosen_fiat(operation: Operation, subject: Subject, now: datetime) -> Operation:
    """The user may change the fiat currency until the first attempt to pay or to deposit."""
    quote = _price(subject, now, subject.fiat_currency)
    if operation.priced or quote.fiat_currency == operation.fiat_currency:
        return operation
    return replace(operation, **_fiat(quote))


def _fiat(quote: Quote) -> _Fiat:
    """An operation's fields about fiat money."""
    return {
        "fiat_currency": quote.fiat_currency,
        "fiat_amount": fiat_text(quote.fiat_amount),
        "fiat_fee": fiat_text(quote.fiat_fee),
        "rate": amount_text(quote.rate),
    }


def _price(subject: Subject, now: datetime, fiat_currency: str) -> Quote:
    return price(subject.type, subject.currency, subject.crypto_amount, fiat_currency, now)


def _observations(operation: Operation, subject: Subject) -> list[Observation]:
    name = subject.merchant_transaction_id
    try:
        return [
            wire.observation(operations.callback(operation, name, Post(statement, statement.at)))
            for statement in operation.newest()
        ]
    except CallbackRefusedError as error:
        raise RuntimeError(f"the simulator said what it does not understand: {error}") from error


def _progress(operation: Operation, subject: Subject) -> Progress:
    attempt = operation.attempts[-1] if operation.attempts else None
    deposit = None
    if operation.deposit_shown_at is not None:
        address = _DEPOSITS.get(subject.network, f"sandbox-{subject.network.lower()}-deposit")
        shown_at = operation.deposit_shown_at
        deposit = Deposit(address, shown_at, shown_at + DEPOSIT_WINDOW)
    return Progress(
        operation.kyc, operation.outcome, attempt, deposit, operation.paid, operation.end
    )
