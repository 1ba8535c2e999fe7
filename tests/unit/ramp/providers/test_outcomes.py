"""The table of outcomes: complete, without two lines that say the same, and what chooses from it."""

from decimal import Decimal

import pytest

from proof.core.errors import InvalidInputError
from proof.ramp.providers.outcomes import (
    OUTCOMES,
    Name,
    cards,
    default_outcome,
    named,
    outcome_rows,
)
from proof.ramp.types import TransactionType

BUY, SELL = TransactionType.BUY, TransactionType.SELL


def test_every_name_has_one_line() -> None:
    assert [outcome.name for outcome in OUTCOMES] == list(Name)


def test_no_two_outcomes_share_a_card_or_an_amount() -> None:
    assert len({card.card for card in cards()}) == len(cards()) > 5
    assert len({outcome.amount for outcome in OUTCOMES}) == len(OUTCOMES)


def test_a_card_has_a_right_check_digit_and_is_of_a_buy() -> None:
    for card in cards():
        digits = [int(digit) for digit in reversed(card.card.replace(" ", ""))]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
        assert (sum(digits[::2]) + sum(doubled)) % 10 == 0
        assert len(digits) == 16
        assert BUY in card.types


def test_the_text_of_the_table_has_every_line() -> None:
    rows = outcome_rows()
    assert [row[0] for row in rows] == list(map(str, Name))
    assert all(row[6] for row in rows)


def test_the_tag_goes_before_the_amount_and_the_amount_before_success() -> None:
    late = Decimal("100.11")
    assert default_outcome(BUY, late, "user+declined@a.example").name is Name.DECLINED
    assert default_outcome(BUY, late, "user+other@a.example").name is Name.CALLBACK_LATE
    assert default_outcome(BUY, Decimal("100.110"), None).name is Name.CALLBACK_LATE
    assert default_outcome(BUY, Decimal("7"), "user@a.example").name is Name.SUCCESS


def test_an_outcome_of_the_other_type_is_not_chosen() -> None:
    assert default_outcome(SELL, Decimal(1), "user+declined@a.example").name is Name.SUCCESS
    assert default_outcome(BUY, Decimal("100.08"), None).name is Name.SUCCESS
    assert default_outcome(SELL, Decimal("100.08"), None).name is Name.DEPOSIT_NEVER_ARRIVES


@pytest.mark.parametrize(
    ("name", "kind"), [("nonsense", BUY), ("", BUY), ("declined", SELL), ("SUCCESS", BUY)]
)
def test_an_outcome_that_there_is_not_is_refused_by_name(name: str, kind: TransactionType) -> None:
    with pytest.raises(InvalidInputError, match=r"^outcome: "):
        named(name, kind)
