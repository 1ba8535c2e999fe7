"""Time: aware, UTC, in whole milliseconds on the wire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.clock import SystemClock, milliseconds


def test_the_system_clock_is_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


@given(st.integers(0, 253_402_300_799_999))
def test_whole_milliseconds_are_exact(value: int) -> None:
    assert milliseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)) == value


@pytest.mark.parametrize(("microseconds", "expected"), [(400, 0), (600, 1), (999_600, 1000)])
def test_a_fraction_is_rounded(microseconds: int, expected: int) -> None:
    moment = datetime(1970, 1, 1, microsecond=microseconds, tzinfo=UTC)
    assert milliseconds(moment) == expected
