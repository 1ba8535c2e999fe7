"""What a receiver may ask for with Retry-After."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.webhooks.schedule import LONGEST_RETRY_AFTER_S, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 60, 86_400),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120),
        ("Sun Mar  1 12:02:00 2026", 120),
        ("Sun, 01 Mar 2026 13:02:00 +0100", 120),
        ("Tue, 01 Mar 2033 12:00:00 GMT", 86_400),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 0),
        (None, 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("9" * 65, 0),
        ("Sun, 99 Mar 2026 12:02:00 GMT", 0),
        ("Sun, 01 Mar 0000 12:02:00 GMT", 0),
    ],
)
def test_seconds_dates_and_nonsense(value: str | None, expected: float) -> None:
    assert retry_after_s(value, NOW) == expected


@given(st.text())
def test_no_text_breaks_it(value: str) -> None:
    assert 0 <= retry_after_s(value, NOW) <= LONGEST_RETRY_AFTER_S
