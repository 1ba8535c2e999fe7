"""How fast strangers may call what is open to everybody: a token bucket for each address.

Kept in the process that answers, so several processes let in that many times more. What one subscriber
gets counts as one address: a /64 of IPv6.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address
from math import ceil

from proof.core.errors import QuotaExceededError
from proof.partners.buckets import Rate
from proof.partners.networks import Address

_IPV6_SITE_SHIFT = 64
# Whoever has more addresses than this pushes out full buckets of others before any empty one of theirs.
_ADDRESSES_KEPT = 65_536


_WINDOW_S = 60


def anonymous_rate(calls_per_minute: int) -> Rate:
    """That many calls a minute, a tenth of them at once."""
    return Rate(calls_per_minute, _WINDOW_S, max(1, calls_per_minute // 10))


class AnonymousRateError(QuotaExceededError):
    """Calls from one address come faster than they may; the same call may succeed in `retry_after_s`."""

    def __init__(self, address: Address, rate: Rate, retry_after_s: int) -> None:
        super().__init__(
            f"calls from {address} come faster than {rate.calls} in {rate.window_s} s with"
            f" {rate.burst} at once; try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class AddressRates:
    """The buckets of one process."""

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, address: Address) -> None:
        """Count one call. Raises AnonymousRateError."""
        key, now = _subscriber(address), self._now()
        tokens, at = self._buckets.pop(key, (float(self._rate.burst), now))
        tokens = min(float(self._rate.burst), tokens + (now - at) * self._rate.per_second)
        allowed = tokens >= 1
        self._buckets[key] = tokens - 1 if allowed else tokens, now
        if len(self._buckets) > _ADDRESSES_KEPT:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = ceil((1 - tokens) / self._rate.per_second)
            raise AnonymousRateError(address, self._rate, wait)


def _subscriber(address: Address) -> int:
    # The sign keeps the two families apart.
    if isinstance(address, IPv6Address):
        return -(int(address) >> _IPV6_SITE_SHIFT) - 1
    return int(address)
