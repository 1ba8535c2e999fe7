"""What statements make of a transaction's money, moments and reasons."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import ConflictError, InvalidInputError
from proof.partners.types import Environment
from proof.ramp.amounts import price_at
from proof.ramp.providers.protocols import Observation, ProviderStatus
from proof.ramp.transactions.state import (
    StateChanges,
    TransactionState,
    advanced,
    observed,
    refunded,
)
from proof.ramp.transactions.transitions import REFUND_AFTER, Alert
from proof.ramp.types import FailureReason, RefundStatus, Status, TransactionType
from proof.ramp.wire import explorer_url, money_fields

NAME = UUID(int=7)
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
BUY, SELL = TransactionType.BUY, TransactionType.SELL
PAID: dict[str, Any] = {
    "fiat_currency": "EUR",
    "fiat_amount": Decimal("46.10"),
    "fiat_fee": Decimal("1.10"),
}
NEW = TransactionState(Status.PENDING, 0, Decimal(50), "", None, None, None, NOW)


def said(verdict: ProviderStatus, **more: Any) -> Observation:
    return Observation(NAME, verdict, "leg: word", NOW, **more)


def heard(state: TransactionState, kind: TransactionType, *words: Observation) -> StateChanges:
    step = StateChanges((), state, None)
    for word in words:
        step = observed(step.final, kind, word, NOW)
    return step


@pytest.mark.parametrize(("kind", "rate"), [(BUY, "0.9"), (SELL, "0.944")])
def test_the_rate_is_the_price_of_a_coin_before_fees(kind: TransactionType, rate: str) -> None:
    final = heard(NEW, kind, said(ProviderStatus.PROCESSING, **PAID)).final
    assert final.rate == Decimal(rate)


def test_without_a_fee_there_is_no_rate() -> None:
    final = heard(NEW, BUY, said(ProviderStatus.PROCESSING, **PAID | {"fiat_fee": None})).final
    told = money_fields(lambda name: getattr(final, name))
    assert (told["fiat_amount"], told["fiat_fee"], told["rate"]) == ("46.10", "", "")


@pytest.mark.parametrize("fee", ["-1", "NaN", "Infinity", "46.10", "99"])
def test_a_fee_that_cannot_be_is_not_taken(fee: str) -> None:
    step = heard(NEW, BUY, said(ProviderStatus.PROCESSING, **PAID | {"fiat_fee": Decimal(fee)}))
    assert (step.final.fiat_amount, step.final.fiat_fee) == (Decimal("46.10"), None)
    assert step.alert is Alert.AMOUNT_DIFFERS


@given(
    st.sampled_from(TransactionType),
    st.decimals("0.000000000000000001", "99999999999999999999", places=18),
    st.decimals("0.01", "9999999999", places=2),
    st.decimals("0", "99", places=2),
)
def test_price_and_fee_are_the_amount(
    kind: TransactionType, crypto: Decimal, price: Decimal, fee: Decimal
) -> None:
    amount = price + fee if kind is BUY else price - fee
    money = {"fiat_currency": "EUR", "fiat_amount": amount, "fiat_fee": fee}
    step = heard(replace(NEW, crypto_amount=crypto), kind, said(ProviderStatus.COMPLETED, **money))
    if amount <= 0:
        assert (step.final.fiat_amount, step.alert) == (None, Alert.AMOUNT_DIFFERS)
        return
    for state in step.states:
        assert state.rate is not None
        assert price_at(state.rate, crypto, price) == price


@pytest.mark.parametrize("verdict", [ProviderStatus.FAILED, ProviderStatus.CANCELLED])
@pytest.mark.parametrize("before", [(), (said(ProviderStatus.PROCESSING, **PAID),)])
def test_nobody_gets_anything_of_a_sale_that_failed(
    verdict: ProviderStatus, before: tuple[Observation, ...]
) -> None:
    final = heard(NEW, SELL, *before, said(verdict, **PAID)).final
    told = money_fields(lambda name: getattr(final, name))
    if final.status.terminal:
        assert [told[name] for name in ("fiat_currency", "fiat_amount", "fiat_fee", "rate")] == [
            ""
        ] * 4


def test_a_buy_that_was_paid_and_failed_keeps_what_was_paid() -> None:
    paid = heard(NEW, BUY, said(ProviderStatus.PROCESSING, **PAID)).final
    reason = FailureReason.DELIVERY_FAILED
    final = advanced(paid, BUY, (Status.FAILED,), NOW, reason).final
    assert (final.fiat_amount, final.failure_reason) == (Decimal("46.10"), reason)


def test_every_change_has_a_moment_of_its_own() -> None:
    behind = NOW - timedelta(hours=1)
    first = observed(NEW, BUY, said(ProviderStatus.COMPLETED), NOW)
    tick = timedelta(microseconds=1)
    assert [state.updated_at for state in first.states] == [NOW + tick, NOW + 2 * tick]
    paid = observed(NEW, BUY, said(ProviderStatus.PROCESSING), NOW).final
    # Another process's clock is behind.
    assert (
        observed(paid, BUY, said(ProviderStatus.COMPLETED), behind).final.updated_at
        == NOW + 2 * tick
    )
    later = NOW + timedelta(seconds=1)
    assert observed(paid, BUY, said(ProviderStatus.COMPLETED), later).final.updated_at == later


def test_a_failure_has_a_reason_and_nothing_else_does() -> None:
    assert heard(NEW, BUY, said(ProviderStatus.FAILED)).final.failure_reason is FailureReason.OTHER
    told = said(ProviderStatus.FAILED, failure_reason=FailureReason.IDENTITY_REFUSED)
    assert heard(NEW, BUY, told).final.failure_reason is FailureReason.IDENTITY_REFUSED
    for verdict in (ProviderStatus.COMPLETED, ProviderStatus.CANCELLED):
        word = said(verdict, failure_reason=FailureReason.OTHER)
        assert all(not state.failure_reason for state in heard(NEW, BUY, word).states)


def test_money_that_was_told_too_late_to_be_a_change_is_in_the_next() -> None:
    """A delivery says nothing of what was paid; the payment is told after it."""
    delivered = heard(
        NEW,
        BUY,
        said(ProviderStatus.PROCESSING),
        said(ProviderStatus.PROCESSING, **PAID),
        said(ProviderStatus.COMPLETED),
    )
    (completed,) = delivered.states
    assert (completed.fiat_amount, completed.rate) == (Decimal("46.10"), Decimal("0.9"))


@pytest.mark.parametrize(
    ("name", "url", "kept"),
    [
        ("0xab12", None, ("0xab12", "")),
        ("ab12", "https://chain.example/ab12", ("ab12", "https://chain.example/ab12")),
        ("ab12", "javascript:alert(1)", ("ab12", "")),
        ("ab12", "http://chain.example/ab12", ("ab12", "")),
        ("ab/../12", None, ("", "")),
        ("<b>", "https://chain.example", ("", "")),
        ("a" * 129, None, ("", "")),
        ("", None, ("", "")),
    ],
)
def test_what_a_provider_calls_a_transaction_is_a_name_and_a_link(
    name: str, url: str | None, kept: tuple[str, str]
) -> None:
    word = said(ProviderStatus.COMPLETED, chain_transaction=name, chain_transaction_url=url)
    final = heard(NEW, BUY, word).final
    assert (final.chain_transaction, final.chain_transaction_url) == kept


@pytest.mark.parametrize("network", ["BTC", "ETH", "ERC20", "BEP20", "TRC20"])
def test_a_main_chains_transaction_can_be_looked_up(network: str) -> None:
    url = explorer_url(network, Environment.PRODUCTION, "ab12")
    assert url.startswith("https://")
    assert url.endswith("/ab12")
    assert explorer_url(network, Environment.SANDBOX, "ab12") == ""
    assert explorer_url(network, Environment.PRODUCTION, "") == ""


REQUESTED = RefundStatus.REQUESTED
BOUGHT = heard(NEW, BUY, said(ProviderStatus.COMPLETED, **PAID)).final


@given(
    st.lists(
        st.tuples(
            st.sampled_from(RefundStatus),
            st.decimals(min_value="-1", max_value="50", places=2) | st.just(Decimal("46.10")),
        )
    ),
    st.sampled_from([ProviderStatus.PROCESSING, ProviderStatus.COMPLETED, ProviderStatus.FAILED]),
)
def test_however_often_a_payment_goes_back_it_walks_the_table_and_the_rest_stays(
    words: list[tuple[RefundStatus, Decimal]], verdict: ProviderStatus
) -> None:
    paid = heard(NEW, BUY, said(ProviderStatus.PROCESSING, **PAID), said(verdict, **PAID)).final
    state = paid
    for status, amount in words:
        possible = status in REFUND_AFTER[state.refund_status]
        before = state
        if possible and 0 < amount <= Decimal("46.10"):
            state = refunded(state, BUY, status, amount, NOW)
            assert (state.refund_status, state.refund_amount) == (status, amount)
            assert (state.refunded_at is None) == (status is REQUESTED)
        else:
            with pytest.raises(InvalidInputError if possible else ConflictError):
                refunded(state, BUY, status, amount, NOW)
            assert state == before
    told = replace(state, refund_status=RefundStatus.NONE, refund_amount=None, refunded_at=None)
    assert told == paid


@pytest.mark.parametrize(
    ("state", "kind", "why"),
    [
        (NEW, BUY, "never paid"),
        (replace(NEW, status=Status.FAILED, event_count=1), BUY, "never paid"),
        (replace(NEW, status=Status.CANCELLED, event_count=1), BUY, "never paid"),
        (heard(NEW, BUY, said(ProviderStatus.COMPLETED)).final, BUY, "not told what was paid"),
        (heard(NEW, SELL, said(ProviderStatus.COMPLETED, **PAID)).final, SELL, "a sale"),
    ],
)
def test_nothing_goes_back_that_is_not_known_to_be_paid(
    state: TransactionState, kind: TransactionType, why: str
) -> None:
    with pytest.raises(ConflictError, match=why):
        refunded(state, kind, REQUESTED, Decimal(1), NOW)


@pytest.mark.parametrize("amount", ["0", "-1", "46.11", "1.005", "NaN", "Infinity"])
def test_no_amount_goes_back_that_cannot_have_been_paid(amount: str) -> None:
    with pytest.raises(InvalidInputError, match=r"amount: .*46\.10 EUR"):
        refunded(BOUGHT, BUY, REQUESTED, Decimal(amount), NOW)
