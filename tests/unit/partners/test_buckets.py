"""Token buckets drawn from by several processes: never more than burst and rate allow, whoever spends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import example, given
from hypothesis import strategies as st

from proof.partners.access.buckets import EPOCH_S, Bucket, Lease, Rate, lease

START = 1_795_000_000.25
ROUNDING = 1e-6


@dataclass
class Process:
    """Spends a lease for as long as it believes in it, as `rates` does."""

    held: Lease | None = None
    asked_at: float = 0.0

    def spend(self, now: float, count: int) -> int:
        if self.held is None or now >= self.asked_at + EPOCH_S:
            return 0
        spent = min(count, self.held.unspent)
        self.held = replace(self.held, unspent=self.held.unspent - spent)
        return spent


@dataclass(frozen=True)
class Step:
    """After `pause_s`, a process spends up to `spend`; then asks for `ask` tokens, unless that is None.
    The answer is computed `delay_s` after the question; `lost`: it never arrives."""

    process: int
    pause_s: float
    spend: int
    ask: int | None
    delay_s: float = 0.0
    lost: bool = False


def spent_over_time(rate: Rate, steps: Sequence[Step], processes: int) -> list[tuple[float, int]]:
    bucket, now = Bucket(float(rate.burst), START), START
    crowd, spent = [Process() for _ in range(processes)], []
    for step in steps:
        now += step.pause_s
        item = crowd[step.process % processes]
        spent.append((now, item.spend(now, step.spend)))
        if step.ask is None:
            continue
        closed, item.held, item.asked_at = item.held, None, now
        now += step.delay_s
        bucket, given_ = lease(bucket, rate, now, step.ask, closed)
        assert bucket.tokens >= 0
        assert bucket.tokens + bucket.leased + bucket.leased_before <= rate.burst + ROUNDING
        item.held = None if step.lost else given_
    return spent


def require_bounded(rate: Rate, spent: list[tuple[float, int]]) -> None:
    """During any time: at most the burst, and what the rate brings meanwhile."""
    for first, (start, _) in enumerate(spent):
        total = 0
        for at, count in spent[first:]:
            total += count
            assert total <= rate.burst + (at - start) * rate.per_second + ROUNDING


steps = st.lists(
    st.builds(
        Step,
        process=st.integers(0, 2),
        pause_s=st.sampled_from([0.0, 0.01, 0.3, 0.6, 0.9, 0.99, 1.1, 2.5]),
        spend=st.integers(0, 30),
        ask=st.none() | st.integers(0, 40),
        delay_s=st.sampled_from([0.0, 0.05, 0.7]),
        lost=st.booleans(),
    ),
    max_size=40,
)
rates = st.builds(
    Rate, calls=st.integers(1, 50), window_s=st.integers(1, 20), burst=st.integers(1, 40)
)


@given(rates, steps, st.integers(1, 3))
# A whole burst leased, kept, spent late, and the refill of the time it was kept asked for at once.
@example(
    Rate(10, 1, 10),
    [
        Step(0, 0, 0, 10),
        Step(0, 0.9, 10, 10),
        Step(0, 0, 10, 10),
        Step(0, 0, 10, None),
    ],
    1,
)
# The same, where the lease is closed only after it stopped counting.
@example(
    Rate(10, 1, 10),
    [
        Step(0, 0, 0, 10),
        Step(0, 0.99, 10, None),
        Step(1, 0.9, 0, 10),
        Step(1, 0, 10, 10),
        Step(1, 0, 10, None),
    ],
    2,
)
def test_no_number_of_processes_lets_in_more_than_burst_and_rate(
    rate: Rate, plan: list[Step], processes: int
) -> None:
    require_bounded(rate, spent_over_time(rate, plan, processes))


def test_what_is_given_back_can_be_had_by_another() -> None:
    rate = Rate(1, 3600, 100)
    bucket, first = lease(Bucket(100.0, START), rate, START, 80, None)
    assert first.tokens == 80
    bucket, second = lease(bucket, rate, START, 50, None)
    assert second.tokens == 20
    bucket, _ = lease(bucket, rate, START, 0, replace(first, unspent=70))
    _, third = lease(bucket, rate, START, 100, second)
    assert third.tokens == 90


def test_a_killed_process_costs_its_tokens_and_no_more() -> None:
    rate = Rate(100, 1, 100)
    bucket, _ = lease(Bucket(100.0, START), rate, START, 100, None)
    _, soon = lease(bucket, rate, START + 0.5, 100, None)
    assert soon.tokens == 0
    _, later = lease(bucket, rate, START + 2 * EPOCH_S + 1, 100, None)
    assert later.tokens == 100


def test_a_steady_caller_gets_its_whole_rate() -> None:
    rate = Rate(1000, 1, 50)
    bucket, held, got = Bucket(0.0, START), None, 0
    for tick in range(1, 501):
        bucket, held = lease(bucket, rate, START + tick * 0.02, 100, held)
        got += held.tokens
        held = replace(held, unspent=0)
    assert got >= 500 * 0.02 * 1000 * 0.95


def test_a_clock_set_back_refills_nothing_and_takes_nothing() -> None:
    rate = Rate(10, 1, 10)
    bucket, _ = lease(Bucket(10.0, START), rate, START, 10, None)
    after, given_ = lease(bucket, rate, START - 100, 10, None)
    assert (given_.tokens, after.at) == (0, START)


def test_a_lowered_burst_holds_from_the_next_look() -> None:
    after, given_ = lease(Bucket(100.0, START), Rate(1, 60, 5), START, 50, None)
    assert (given_.tokens, after.tokens) == (5, 0.0)
