"""The clocks that rates are counted by, to turn by hand: how long a test takes counts for nothing."""

import time
from types import SimpleNamespace

import pytest

from proof.partners.access import buckets, rates
from proof.partners.access.buckets import Bucket, Lease, Rate

_lease = buckets.lease


class RateClocks:
    """What the limiters of this process and the database go by; both stand still until turned."""

    def __init__(self) -> None:
        # Ahead of the clock that PostgreSQL dates a new bucket by, which is full.
        self.now_s = time.time() + 3600

    def turn(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s

    def lease(
        self, bucket: Bucket, rate: Rate, _now: float, wanted: int, closed: Lease | None
    ) -> tuple[Bucket, Lease]:
        return _lease(bucket, rate, self.now_s, wanted, closed)


def stopped_clocks(monkeypatch: pytest.MonkeyPatch) -> RateClocks:
    """Until the end of the test every limiter of this process goes by these."""
    clocks = RateClocks()
    monkeypatch.setattr(rates, "time", SimpleNamespace(monotonic=clocks.monotonic))
    monkeypatch.setattr(rates, "lease", clocks.lease)
    return clocks
