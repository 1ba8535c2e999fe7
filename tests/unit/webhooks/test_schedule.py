"""When a failed delivery is due again."""

import pytest

from proof.webhooks import BreakerPolicy, Schedule

S, M, H = 1, 60, 3600
EXPECTED = [0, 5 * S, 5 * M, 30 * M, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H, 24 * H]


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_the_published_delays_within_a_fifth(drawn: float, share: float) -> None:
    schedule = Schedule(random=lambda: drawn)
    delays = [schedule.delay_s(attempts) for attempts in range(10)]
    assert delays == pytest.approx([delay * share for delay in EXPECTED])


@pytest.mark.parametrize("attempts", [10, 11, 100])
def test_after_the_last_attempt_there_is_no_other(attempts: int) -> None:
    """More than ten happen when a worker dies between claiming and sending."""
    assert Schedule().delay_s(attempts) is None


def test_jitter_spreads_what_failed_together() -> None:
    delays = {Schedule().delay_s(2) for _ in range(100)}
    assert len(delays) > 90
    assert all(delay is not None and 240 <= delay <= 360 for delay in delays)


def test_a_delivery_goes_its_whole_schedule_before_it_opens_a_breaker() -> None:
    assert BreakerPolicy().in_a_row == len(Schedule().delays_s)
