"""Token buckets that several processes draw from.

The bucket of a class of call is one row. A process leases some of its tokens, spends them without asking
anybody, and gives back the rest when it closes the lease. Leases are counted in the row, and the bucket
never fills beyond what they leave of the burst:

    tokens + leased ≤ burst                                        always
    calls let in during any t seconds ≤ burst + t · calls / window  however many processes there are

A lease ends by itself: it is spent within EPOCH_S of being asked for, and counted as long as the epoch it
was given in or the next one lasts, which is longer. So a killed process costs its unspent tokens for two
seconds, and never lets a call in that was not paid for.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

EPOCH_S = 1.0


class Rate(NamedTuple):
    """`calls` in `window_s` seconds on average, and `burst` at once."""

    calls: int
    window_s: int
    burst: int

    @property
    def per_second(self) -> float:
        return self.calls / self.window_s


@dataclass(frozen=True, slots=True)
class Lease:
    """`tokens` given in an epoch, of which `unspent` are left."""

    tokens: int
    epoch: int
    unspent: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A row at time `at` (seconds since 1970, by the database's clock). `leased` counts the tokens of
    open leases of that time's epoch, `leased_before` those of the epoch before."""

    tokens: float
    at: float
    leased: int = 0
    leased_before: int = 0


def lease(
    bucket: Bucket, rate: Rate, now: float, wanted: int, closed: Lease | None
) -> tuple[Bucket, Lease]:
    """Close a process's lease, if it has one, and give it up to `wanted` tokens in a new one.

    `now` is the database's clock; one that stands still or went back refills nothing.
    """
    bucket = _advanced(bucket, rate, max(now, bucket.at))
    epoch = _epoch(bucket.at)
    bucket = _without(bucket, closed, epoch)
    granted = min(wanted, int(bucket.tokens))
    after = replace(bucket, tokens=bucket.tokens - granted, leased=bucket.leased + granted)
    return after, Lease(granted, epoch, granted)


def _advanced(bucket: Bucket, rate: Rate, now: float) -> Bucket:
    # One epoch at a time, because less may be refilled before a lease ends than after it.
    while _epoch(bucket.at) < _epoch(now) and (bucket.leased or bucket.leased_before):
        boundary = (_epoch(bucket.at) + 1) * EPOCH_S
        bucket = replace(_refilled(bucket, rate, boundary), leased=0, leased_before=bucket.leased)
    return _refilled(bucket, rate, now)


def _refilled(bucket: Bucket, rate: Rate, now: float) -> Bucket:
    """The bucket at `now`, in the same epoch or with nothing leased."""
    room = rate.burst - bucket.leased - bucket.leased_before
    tokens = min(bucket.tokens + (now - bucket.at) * rate.per_second, room)
    return replace(bucket, tokens=max(0.0, tokens), at=now)


def _without(bucket: Bucket, closed: Lease | None, epoch: int) -> Bucket:
    """The bucket after a lease gave back what it left; nothing, once it is not counted any more."""
    if closed is None or closed.epoch < epoch - 1:
        return bucket
    tokens = bucket.tokens + closed.unspent
    if closed.epoch == epoch:
        return replace(bucket, tokens=tokens, leased=bucket.leased - closed.tokens)
    return replace(bucket, tokens=tokens, leased_before=bucket.leased_before - closed.tokens)


def _epoch(at: float) -> int:
    return int(at // EPOCH_S)
