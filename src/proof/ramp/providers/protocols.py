"""What a provider can do, one small protocol for each capability; an adapter implements those it has.

Adapters hold no state of their own: an account with its credentials comes with each call, and what they
reach the world through (`Reach`) is given to them once. `isinstance(adapter, Polls)` tells whether one can.
Amounts are decimal, times UTC and, in a sandbox, by that sandbox's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from proof.core.clock import Clock
from proof.db import Connection, Database
from proof.outbound import OutboundClient
from proof.partners.types import Environment
from proof.ramp.types import FailureReason, KycStatus, RefundStatus, TransactionType


class ProviderStatus(StrEnum):
    """What a provider's statement means for a transaction.

    `declined`: the attempt failed and another is possible while the widget session lives. `unknown`: a
    status the adapter does not know, which never becomes success or failure. `undeliverable`: money was
    taken and the coins did not arrive; a person has to decide.
    """

    PENDING = "pending"
    DECLINED = "declined"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDELIVERABLE = "undeliverable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a provider said of one transaction: by callback, or when it was asked.

    `said` is the provider's own words (leg and status), for operators. `fiat_amount` is what a buyer pays
    in all or a seller gets in all, `fiat_fee` all fees in that money, `rate` one coin's price before them.
    Amounts, method, reason and the
    transaction on the chain are None where it said nothing of them; `chain_transaction_url` is for a
    provider that has a place of its own to look it up. `reference` is the provider's id of the operation.
    `awaits_deposit`: the user of a sell was shown where to send the coins, at `occurred_at` if this is the
    first to say so. `refund_status` is None in words that are not of a payment that goes back, and
    `refund_amount` where they name no amount: it is all of it then.
    """

    merchant_transaction_id: UUID
    verdict: ProviderStatus
    said: str
    occurred_at: datetime
    reference: str | None = None
    crypto_amount: Decimal | None = None
    fiat_currency: str | None = None
    fiat_amount: Decimal | None = None
    fiat_fee: Decimal | None = None
    rate: Decimal | None = None
    payment_method: str | None = None
    failure_reason: FailureReason | None = None
    chain_transaction: str | None = None
    chain_transaction_url: str | None = None
    awaits_deposit: bool = False
    refund_status: RefundStatus | None = None
    refund_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """What adapters reach the world through."""

    client: OutboundClient
    database: Database
    clock: Clock


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One value an account of this provider holds. `default` has the value of each environment that the
    operator need not give; one that is `generated` is random unless it is given."""

    name: str
    about: str
    secret: bool = True
    generated: bool = False
    default: Mapping[Environment, str] = field(default_factory=dict)


class AmountRange(NamedTuple):
    """The least and the most coins a provider takes at once."""

    minimum: Decimal
    maximum: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """A provider account: one partner environment's access to one provider, credentials unsealed."""

    id: UUID
    provider: str
    partner_environment_id: int
    environment: Environment
    credentials: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """The transaction a provider is asked about. `email` and `client_ip` are None once erased."""

    merchant_transaction_id: UUID
    type: TransactionType
    currency: str
    network: str
    crypto_amount: Decimal
    fiat_currency: str
    address: str | None = field(repr=False)
    email: str | None = field(repr=False)
    client_ip: str | None = field(repr=False)
    partner_user_id: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What the user pays or gets in all, `fiat_amount`: the price and the fee of a buy, the price less the
    fee of a sell. `rate` is the price of one coin."""

    fiat_currency: str
    fiat_amount: Decimal
    fiat_fee: Decimal
    price: Decimal
    rate: Decimal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Handover:
    """What the hosted page opens a provider's own widget with: a script and its parameters."""

    script: str
    parameters: Mapping[str, object] = field(repr=False)


class PaymentMethod(StrEnum):
    """How the user pays for a buy."""

    CARD = "card"
    APPLE_PAY = "apple_pay"
    GOOGLE_PAY = "google_pay"


class AttemptResult(StrEnum):
    """What became of one attempt to pay. `challenge`: the bank asks the user once more (3-D Secure)."""

    CHALLENGE = "challenge"
    DECLINED = "declined"
    CAPTURED = "captured"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt to pay; its id is made by the page."""

    id: UUID
    method: PaymentMethod
    result: AttemptResult


@dataclass(frozen=True, slots=True)
class Deposit:
    """Where the user's coins are waited for, and until when."""

    address: str
    shown_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a user is with one transaction, as the page shows it.

    `paid`: the provider has taken the money, or the coins of a sell. `end`: what it said last, once that is
    final. After either nothing the user does moves it any more; the transaction itself moves by callbacks
    and polls alone.
    """

    kyc: KycStatus
    outcome: str
    attempt: Attempt | None = None
    deposit: Deposit | None = None
    paid: bool = False
    end: ProviderStatus | None = None


class OnBehalf(NamedTuple):
    """For whom an adapter acts, and when: `now` is the environment's present moment (`proof.ramp.clock`),
    `tx` the caller's transaction, which holds no other lock of the ramp's."""

    tx: Connection
    account: Account
    subject: Subject
    now: datetime


@runtime_checkable
class OpensSessions(Protocol):
    """Mints the provider's own session when the widget opens. Raises ProviderError."""

    async def open(self, account: Account, subject: Subject) -> Handover: ...


@runtime_checkable
class TranslatesCallbacks(Protocol):
    """Reads what a provider posts to us."""

    def verify(self, account: Account, headers: Mapping[str, str], body: bytes) -> str:
        """Which form of the body the signature fits; header names are lower case. Raises
        CallbackRefusedError."""
        ...

    def identity(self, body: bytes) -> bytes:
        """What two callbacks that say the same have in common, as 32 bytes. Raises CallbackRefusedError."""
        ...

    def translate(self, body: bytes) -> Observation:
        """Raises CallbackRefusedError when a verified body is not what the provider documents."""
        ...


@runtime_checkable
class Polls(Protocol):
    """Answers how far an operation is, oldest statement first; nothing when it has none. Raises
    ProviderError."""

    async def poll(self, account: Account, subject: Subject) -> Sequence[Observation]: ...


@runtime_checkable
class ConfirmsEnds(Polls, Protocol):
    """Whose callbacks are not believed about an end until it says the same when asked."""

    confirms_ends: Literal[True]


@runtime_checkable
class ReportsKyc(Protocol):
    """Answers what it knows of a user's identity. Raises ProviderError."""

    async def kyc(self, account: Account, subject: Subject) -> KycStatus: ...


@runtime_checkable
class Quotes(Protocol):
    """Prices a transaction. Raises ProviderError."""

    async def quote(self, account: Account, subject: Subject) -> Quote: ...


@runtime_checkable
class ActsForUser(Protocol):
    """A provider whose widget is our own page: the page acts for the user through these.

    Each act is written in the transaction it is given, and answers the progress after it. All are
    idempotent: said twice, or when it no longer makes a difference, nothing happens. Whether the ramp's
    transaction is still open is the caller's to check; that it moves is told by callbacks and polls alone.
    """

    async def progress(
        self, connection: Connection, account: Account, subject: Subject
    ) -> Progress | None:
        """None before an outcome was chosen; changes nothing."""
        ...

    async def choose_outcome(self, user: OnBehalf) -> Progress:
        """Begin the operation when the widget opens, with the outcome that e-mail tag or amount name."""
        ...

    async def submit_kyc(self, user: OnBehalf, document: str) -> Progress:
        """The user's papers and face; decided later, by the provider."""
        ...

    async def pay(
        self, user: OnBehalf, attempt_id: UUID, method: PaymentMethod, outcome: str | None
    ) -> Progress:
        """One attempt to pay for a buy. `outcome` is that of the card number typed, None for no such card.

        Raises InvalidInputError for an outcome that there is not, or not for a buy.
        """
        ...

    async def answer_challenge(self, user: OnBehalf, attempt_id: UUID, *, passed: bool) -> Progress:
        """What the user told the bank."""
        ...

    async def show_deposit(self, user: OnBehalf) -> Progress:
        """Show the address for a sell's coins; its window starts with the first call. `deposit_shown_at` of
        the transaction is set here."""
        ...

    async def cancel(self, user: OnBehalf) -> Progress:
        """The user gives up; nothing once money or coins are on their way."""
        ...

    async def simulate(self, user: OnBehalf, outcome: str) -> Progress:
        """Do all that a user does, from the start to the end of an outcome.

        Raises InvalidInputError for an outcome that there is not for this type of transaction,
        ConflictError when a user or an earlier call got the operation beyond its start.
        """
        ...


# It has one capability at least; `isinstance` tells which.
Adapter = OpensSessions | TranslatesCallbacks | Polls | ReportsKyc | Quotes | ActsForUser
