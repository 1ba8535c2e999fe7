"""When a breaker opens, and when it is probed."""

import pytest

from proof.webhooks.breaker import BreakerPolicy, Window

POLICY = BreakerPolicy(window_s=60, least=4, share=0.5)


def test_it_opens_by_share_and_not_before_there_is_enough_to_judge() -> None:
    window = Window(POLICY)
    assert [window.add(at, failed=True) for at in range(5)] == [False, False, False, True, True]


def test_half_of_them_is_enough_and_less_is_not() -> None:
    window = Window(POLICY)
    for at in range(4):
        assert not window.add(at, failed=False)
    assert not any(window.add(4, failed=True) for _ in range(3))
    assert window.add(5, failed=True)


def test_a_success_never_opens_it() -> None:
    window = Window(POLICY)
    for at in range(3):
        window.add(at, failed=True)
    assert not window.add(4, failed=False)


def test_what_lies_before_the_window_is_forgotten() -> None:
    window = Window(POLICY)
    for at in range(3):
        window.add(at, failed=True)
    assert not window.add(62.5, failed=True)
    assert not window.add(62.6, failed=True)
    assert not window.add(62.7, failed=True)
    assert window.add(62.8, failed=True)


def test_only_the_last_hundred_count() -> None:
    window = Window(POLICY)
    for _ in range(1000):
        window.add(0, failed=False)
    assert [window.add(1, failed=True) for _ in range(50)] == [False] * 49 + [True]


@pytest.mark.parametrize(
    ("failed", "delay_s"), [(0, 30), (1, 60), (6, 1920), (7, 3600), (8, 3600), (10_000, 3600)]
)
def test_probes_come_ever_more_seldom(failed: int, delay_s: float) -> None:
    assert BreakerPolicy().probe_delay_s(failed) == delay_s


def test_silence_is_no_success_within_the_window() -> None:
    window = Window(POLICY)
    assert window.is_silent(0)
    window.add(100, failed=False)
    assert not window.is_silent(160)
    assert window.is_silent(160.1)
    window.add(161, failed=True)
    window.clear()
    assert window.is_silent(161)


def test_the_end_of_a_row_is_told_once_a_second() -> None:
    window = Window(POLICY)
    assert [window.tells_recovery(at) for at in (10, 10.5, 10.9, 11, 11.5, 12)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
