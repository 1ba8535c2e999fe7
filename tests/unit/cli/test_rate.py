"""What may be typed for `proof rate set`."""

import pytest

from proof.cli.partners.rate import _rate
from proof.core.errors import InvalidInputError
from proof.partners.access.buckets import Rate


def test_a_number_or_the_word_for_the_default() -> None:
    assert _rate("default", "60s", None) is None
    assert _rate("40", "24h", None) == Rate(40, 86_400, 40)
    assert _rate("40", "1m", 7) == Rate(40, 60, 7)


@pytest.mark.parametrize(
    "calls", ["", "many", "-1", "1.5", "\u0664", "the default", "unlimited", "9" * 30]
)
def test_anything_else_is_told_what_it_may_be(calls: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is no rate; give a number or `default`$"):
        _rate(calls, "60s", None)
