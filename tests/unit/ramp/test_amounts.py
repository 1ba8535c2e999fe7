"""Amounts on the wire."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.ramp.amounts import amount_text, parse_amount


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


@pytest.mark.parametrize("text", ["1", "1.50", "0.000000000000000001", "9" * 20 + "." + "9" * 18])
def test_every_digit_is_kept(text: str) -> None:
    assert amount_text(parse_amount(text)) == text


@given(st.decimals(min_value="1e-18", max_value="1e19", places=18))
def test_reading_undoes_writing(amount: Decimal) -> None:
    assert parse_amount(amount_text(amount)) == amount
