"""Amounts on the wire."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.ramp.amounts import amount_text, fiat_text, parse_amount, price_at, rate_of


@pytest.mark.parametrize(
    "text",
    [
        "0", "0.0", "-1", "+1", "1e3", "1E3", "NaN", "Infinity", "", " 1", "1 ", "1\n", ".5", "5.", "01",
        "0.0000000000000000001", "1.0000000000000000000", "9" * 21, "9" * 10_000, "1,5", "1_000", "٣",
        "0x10", "1.2.3",
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^amount: "):
        parse_amount(text)


def test_the_field_is_named_and_the_text_is_not() -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_amount("secret", "fiat_amount")
    assert refused.value.message.startswith("fiat_amount: ")
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "text", ["1", "1.5", "0.000000000000000001", "9" * 20 + "." + "9" * 18, "100"]
)
def test_every_digit_is_kept(text: str) -> None:
    assert amount_text(parse_amount(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("25.500", "25.5"), ("25.0", "25"), ("100.00", "100"), ("0.10", "0.1"), ("10", "10")],
)
def test_an_amount_has_one_form(text: str, canonical: str) -> None:
    assert amount_text(parse_amount(text)) == amount_text(Decimal(text)) == canonical


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("47", "47.00"),
        ("46.1", "46.10"),
        ("46.100", "46.10"),
        ("1E+2", "100.00"),
        ("0.3075", "0.3075"),
    ],
)
def test_fiat_money_has_its_cents(amount: str, text: str) -> None:
    assert fiat_text(Decimal(amount)) == text


@given(
    st.decimals(min_value="0.01", max_value="1e25", places=2),
    st.decimals(min_value="1e-18", max_value="1e20", places=18),
)
@example(Decimal("0.01"), Decimal("1e20"))
@example(Decimal("1e25"), Decimal("1e-18"))
def test_a_price_comes_back_from_its_rate(price: Decimal, crypto: Decimal) -> None:
    rate = rate_of(price, crypto)
    assert price_at(rate, crypto, price) == price
    assert amount_text(rate) == amount_text(Decimal(amount_text(rate)))


def test_a_rate_that_was_told_is_taken_if_it_gives_the_price() -> None:
    price, crypto = Decimal("6.67"), Decimal("0.00012345")
    assert rate_of(price, crypto, Decimal(54_000)) == 54_000
    assert rate_of(price, crypto, Decimal(55_000)) == Decimal("54029.97")
    assert rate_of(price, crypto, Decimal("NaN")) == Decimal("54029.97")


@given(st.decimals(min_value="1e-18", max_value="1e19", places=18))
def test_reading_undoes_writing(amount: Decimal) -> None:
    assert parse_amount(amount_text(amount)) == amount
