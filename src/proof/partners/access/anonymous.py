"""How fast strangers may call what is open to everybody: token buckets for an address, for an IPv6 site,
and for all strangers together.

Kept in the process that answers, so several processes let in that many times more. What one subscriber
gets counts as one address: a /64 of IPv6. A site, which is a /48 and so has 65,536 of those, has a rate of
its own.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address
from math import ceil

from proof.core.errors import BusyError, QuotaExceededError
from proof.core.pace import Pace, Turnstile
from proof.partners.access.buckets import Rate
from proof.partners.access.networks import Address

_IPV6_SUBSCRIBER = 64

_IPV6_SITE = 48

# An office or a small provider behind one site calls from several subscriber networks at once.
_SITE_TIMES = 4

# A caller with more addresses than this pushes full buckets of other callers out before an empty one of
# its own.
_ADDRESSES_KEPT = 65_536

_KNOWN_AT_MOST = 16_384

_WINDOW_S = 60

_LONGEST_WAIT_S = 1.0

_EACH_TURN = 2


class AnonymousRateError(QuotaExceededError):
    """Calls from one address come faster than they may; the same call may succeed in `retry_after_s`."""

    def __init__(self, caller: str, rate: Rate, retry_after_s: int) -> None:
        super().__init__(
            f"calls from {caller} come faster than {rate.calls} in {rate.window_s} s with"
            f" {rate.burst} at once; try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class AnonymousRates:
    """The buckets of one process."""

    def __init__(
        self,
        calls_per_minute: int,
        calls_per_second_in_all: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`calls_per_minute` of each address, a tenth of them at once; of all together
        `calls_per_second_in_all`, a tenth of them at once: those of a second more wait for their turn."""
        self._of_address = _Buckets(_rate_of_address(calls_per_minute))
        self._of_site = _Buckets(_rate_of_address(_SITE_TIMES * calls_per_minute))
        at_once = max(1.0, calls_per_second_in_all / 10)
        self._of_all = Pace(calls_per_second_in_all, at_once, _LONGEST_WAIT_S, now)
        self._turnstile = Turnstile(_EACH_TURN)
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._now = now

    async def admit(self, address: Address, calls: float = 1, *, in_all: bool = True) -> None:
        """`take`, and wait. What a crowd asks is begun a little in each turn of the event loop."""
        await self._turnstile.turn()
        wait_s = self.take(address, calls, in_all=in_all)
        if wait_s:
            await asyncio.sleep(wait_s)

    def take(self, address: Address, calls: float = 1, *, in_all: bool = True) -> float:
        """Count one call, or what is dearer or cheaper than one as that many; `in_all` also among all.
        Given back is how long it is to wait for its turn.

        Raises AnonymousRateError, BusyError when strangers together call too fast.
        """
        now = self._now()
        if isinstance(address, IPv6Address):
            subscriber = int(address) >> 128 - _IPV6_SUBSCRIBER
            site = int(address) >> 128 - _IPV6_SITE
            self._take(self._of_address, ("IPv6", subscriber), str(address), now, calls)
            network = f"{IPv6Address(site << 128 - _IPV6_SITE)}/{_IPV6_SITE}"
            self._take(self._of_site, site, network, now, calls)
        else:
            self._take(self._of_address, int(address), str(address), now, calls)
        wait_s = self._of_all.wait_s(calls) if in_all else 0.0
        if wait_s is None:
            raise BusyError("callers without a credential are too many at the moment")
        return wait_s

    def knows(self, name: Hashable) -> bool:
        """Whether this is one of the newest names that were `remember`ed."""
        if name not in self._known:
            return False
        self._known.move_to_end(name)
        return True

    def remember(self, name: Hashable) -> None:
        """What came with this name proved good, so it is no stranger's."""
        self._known[name] = None
        if len(self._known) > _KNOWN_AT_MOST:
            self._known.popitem(last=False)

    @staticmethod
    def _take(buckets: "_Buckets", key: Hashable, caller: str, now: float, calls: float) -> None:
        wait_s = buckets.take(key, now, calls)
        if wait_s:
            raise AnonymousRateError(caller, buckets.rate, wait_s)


def _rate_of_address(calls_per_minute: int) -> Rate:
    return Rate(calls_per_minute, _WINDOW_S, max(1, calls_per_minute // 10))


class _Buckets:
    """One bucket for each key, the longest unused forgotten first."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float, calls: float) -> int:
        """0 when the call is counted, else the seconds until it would be; a refused call costs nothing."""
        burst, per_second = float(self.rate.burst), self.rate.per_second
        tokens, at = self._buckets.pop(key, (burst, now))
        tokens = min(burst, tokens + (now - at) * per_second)
        allowed = tokens >= calls
        self._buckets[key] = tokens - calls if allowed else tokens, now
        if len(self._buckets) > _ADDRESSES_KEPT:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, ceil((calls - tokens) / per_second))


def subscriber(address: Address) -> Hashable:
    """What tells one subscriber from another: an address, of IPv6 its /64."""
    if isinstance(address, IPv6Address):
        return "IPv6", int(address) >> 128 - _IPV6_SUBSCRIBER
    return int(address)
