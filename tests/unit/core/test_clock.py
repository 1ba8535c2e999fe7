"""Time: aware, UTC, in whole milliseconds on the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.clock import SystemClock, milliseconds, moment_text


def test_the_system_clock_is_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


@given(st.integers(0, 253_402_300_799_999))
def test_whole_milliseconds_are_exact(value: int) -> None:
    assert milliseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)) == value


@pytest.mark.parametrize(("microseconds", "expected"), [(400, 0), (600, 1), (999_600, 1000)])
def test_a_fraction_is_rounded(microseconds: int, expected: int) -> None:
    moment = datetime(1970, 1, 1, microsecond=microseconds, tzinfo=UTC)
    assert milliseconds(moment) == expected


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
YEAR = timedelta(days=366)


@given(
    st.datetimes(datetime.min + YEAR, datetime.max - YEAR, timezones=st.just(UTC) | ZONES)  # noqa: DTZ901
)
def test_a_moment_is_written_as_iso_8601_in_utc(moment: datetime) -> None:
    assert moment_text(moment) == moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert datetime.fromisoformat(moment_text(moment)) == moment
