"""What the hosted page shows of its session. Pure: no clock, no database."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from proof.core.clock import moment_text
from proof.partners.types import Environment
from proof.partners.widgets import WidgetOwner
from proof.ramp.amounts import amount_text, fiat_text
from proof.ramp.providers.outcomes import cards
from proof.ramp.providers.protocols import (
    Attempt,
    AttemptResult,
    Handover,
    PaymentMethod,
    Progress,
    ProviderStatus,
    Quote,
)
from proof.ramp.sessions.widget_queries import WidgetSession
from proof.ramp.types import FailureReason, KycStatus, Status, TransactionType

_SHOWN_ENDS = (6, 4)

_BAD_ENDS: Mapping[ProviderStatus, Status] = {
    ProviderStatus.FAILED: Status.FAILED,
    ProviderStatus.CANCELLED: Status.CANCELLED,
}


class WidgetStep(StrEnum):
    """What the user is to do, or to wait for.

    `processing`: paid, and what goes out is on its way; `review`: paid, but it cannot be sent, and a person
    decides; `done`: it is over, and `State.end` says how.
    """

    KYC = "kyc"
    PAY = "pay"
    CHALLENGE = "challenge"
    PROCESSING = "processing"
    REVIEW = "review"
    DEPOSIT = "deposit"
    DONE = "done"
    HANDOVER = "handover"


class QuoteView(Struct, frozen=True):
    """What it would come to now, in the words it is settled in: `fiat_amount` is all that is paid or got,
    `price` what the coins are worth without the fee."""

    fiat_currency: str
    fiat_amount: str
    fiat_fee: str
    price: str
    rate: str
    expires_at: str


class AttemptView(Struct, frozen=True):
    """`result` is `none` before the first attempt."""

    id: str | None = None
    method: str | None = None
    result: str = "none"


class TestCard(Struct, frozen=True):
    """A card number and the name of the outcome it brings; the page has its own words for that."""

    number: str
    outcome: str


class DepositView(Struct, frozen=True):
    address: str
    network: str
    amount: str
    expires_at: str
    id: str
    flow_id: str = "payout"


class HandoverView(Struct, frozen=True):
    script: str
    parameters: Mapping[str, object]


class WidgetState(Struct, frozen=True, kw_only=True):
    """Everything the page draws from.

    `status` is that of the record, which callbacks and polls move. `paid` and `end` may know more: `paid`
    once the provider has taken the money or the coins, `end` once the transaction is terminal, or its
    provider has cancelled or refused it. Good news is never ahead of the record: what was delivered ends
    with the status. `now` is the environment's own time, which a sandbox's partner may have moved: the
    page's countdowns follow it, not the clock of the user's device. From `crypto_amount` to `occurred_at`
    it is what the partner's backend is told, the quote is what may still be.
    """

    merchant_transaction_id: str
    widget_id: str
    environment: Environment
    partner_name: str
    type: TransactionType
    status: Status
    step: WidgetStep
    paid: bool
    end: Status | None
    provider: str
    currency: str
    network: str
    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    fiat_fee: str
    rate: str
    payment_method: str
    failure_reason: FailureReason
    chain_transaction: str
    chain_transaction_url: str
    updated_at: str
    occurred_at: str
    address: str
    quote: QuoteView | None
    fiat_currencies: tuple[str, ...]
    lang: str
    theme: str
    redirect_url: str
    kyc: KycStatus
    attempt: AttemptView
    payment_methods: tuple[PaymentMethod, ...]
    test_cards: tuple[TestCard, ...]
    deposit: DepositView | None
    handover: HandoverView | None
    session_expires_at: str
    now: str


class ProviderView(Struct, frozen=True, kw_only=True):
    """What providers and the vault said for a state. `progress` is None with a provider whose widget is its
    own."""

    now: datetime
    provider: str
    address: str
    progress: Progress | None = None
    quote: Quote | None = None
    handover: Handover | None = None


def state_of(held: WidgetSession, owner: WidgetOwner, seen: ProviderView) -> WidgetState:
    """The state as the page gets it; a wallet that coins are bought to is shown by its ends alone."""
    progress = seen.progress
    end = end_of(held.status, progress)
    paid = held.captured or (progress is not None and progress.paid)
    buying = held.type is TransactionType.BUY
    simulated = progress is not None and owner.environment is Environment.SANDBOX
    parameters = held.parameters
    assert held.expires_at is not None, "a session with a token has an end"
    return WidgetState(
        merchant_transaction_id=str(held.transaction_id),
        widget_id=parameters.widget_id,
        environment=owner.environment,
        partner_name=owner.partner_name,
        type=held.type,
        status=held.status,
        step=_step(held, progress, end, paid=paid),
        paid=paid,
        end=end,
        provider=seen.provider,
        currency=held.currency,
        network=held.network,
        address=masked(seen.address) if buying else seen.address,
        quote=_quote(seen.quote),
        fiat_currencies=parameters.fiat_currencies,
        lang=parameters.lang,
        theme=parameters.theme,
        redirect_url=parameters.redirect_url,
        kyc=held.kyc if progress is None else progress.kyc,
        attempt=_attempt(progress.attempt if progress else None),
        payment_methods=tuple(PaymentMethod) if buying else (),
        test_cards=_test_cards() if simulated and buying else (),
        deposit=_deposit(held, progress),
        handover=None
        if seen.handover is None
        else HandoverView(seen.handover.script, seen.handover.parameters),
        session_expires_at=moment_text(held.expires_at),
        now=moment_text(seen.now),
        **held.money,
    )


def end_of(status: Status, progress: Progress | None) -> Status | None:
    """How it ended, None while it goes on."""
    if status.terminal:
        return status
    return _BAD_ENDS.get(progress.end) if progress is not None and progress.end else None


def _step(
    held: WidgetSession, progress: Progress | None, end: Status | None, *, paid: bool
) -> WidgetStep:
    if end is not None:
        return WidgetStep.DONE
    if paid:
        stuck = progress is not None and progress.end is ProviderStatus.UNDELIVERABLE
        return WidgetStep.REVIEW if stuck or held.undeliverable else WidgetStep.PROCESSING
    return WidgetStep.HANDOVER if progress is None else _own_step(held.type, progress)


def _own_step(kind: TransactionType, progress: Progress) -> WidgetStep:
    """What the user of our own page is to do."""
    if progress.kyc is not KycStatus.VERIFIED:
        return WidgetStep.KYC
    if kind is TransactionType.SELL:
        return WidgetStep.DEPOSIT
    attempt = progress.attempt
    asked = attempt is not None and attempt.result is AttemptResult.CHALLENGE
    return WidgetStep.CHALLENGE if asked else WidgetStep.PAY


def masked(address: str) -> str:
    """The ends of an address, enough for its owner to know it again."""
    first, last = _SHOWN_ENDS
    return address if len(address) <= first + last else f"{address[:first]}…{address[-last:]}"


def _quote(quote: Quote | None) -> QuoteView | None:
    if quote is None:
        return None
    return QuoteView(
        fiat_currency=quote.fiat_currency,
        fiat_amount=fiat_text(quote.fiat_amount),
        fiat_fee=fiat_text(quote.fiat_fee),
        price=fiat_text(quote.price),
        rate=amount_text(quote.rate),
        expires_at=moment_text(quote.expires_at),
    )


def _attempt(attempt: Attempt | None) -> AttemptView:
    if attempt is None:
        return AttemptView()
    return AttemptView(str(attempt.id), attempt.method, attempt.result)


def _test_cards() -> tuple[TestCard, ...]:
    return tuple(TestCard(card.card, card.name) for card in cards())


def _deposit(held: WidgetSession, progress: Progress | None) -> DepositView | None:
    deposit = progress.deposit if progress else None
    if deposit is None:
        return None
    return DepositView(
        address=deposit.address,
        network=held.network,
        amount=amount_text(held.crypto_amount),
        expires_at=moment_text(deposit.expires_at),
        id=str(held.transaction_id),
    )
