"""When an endpoint is left alone, probed, and given up."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from proof.webhooks.types import Change

# So many attempts are enough to judge a share; older ones say little about the present.
_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """A breaker opens when `share` of at least `least` attempts within `window_s` seconds failed; or, where
    there are fewer, when `in_a_row` attempts failed over `in_a_row_s` seconds and none succeeded.

    Then one delivery at a time probes the endpoint: first after `first_probe_s`, each wait twice the
    one before, at most `longest_probe_s`. The first success closes it; after `probes` failed ones
    over `disable_after` the endpoint is disabled, and no longer called.
    """

    window_s: float = 60
    least: int = 10
    share: float = 0.5
    # As many as the schedule has attempts, so that one delivery alone opens no breaker before its last.
    in_a_row: int = 10
    in_a_row_s: float = 12 * 3600
    first_probe_s: float = 30
    longest_probe_s: float = 3600
    probes: int = 10
    disable_after: timedelta = timedelta(days=5)

    def probe_delay_s(self, failed_probes: int) -> float:
        """Seconds from now to the next probe, after so many failed ones."""
        # 2 to the 30th exceeds every limit, and a greater exponent would overflow after years of probes.
        return min(self.first_probe_s * (1 << min(failed_probes, 30)), self.longest_probe_s)


class Window:
    """The last attempts at one endpoint, as one process saw them."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._attempts: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)
        self._succeeded_s = float("-inf")
        self._told_s = float("-inf")

    def add(self, at_s: float, failed: bool) -> bool:
        """Remember an attempt that ended at `at_s`; whether the breaker is to open now."""
        self._attempts.append((at_s, failed))
        if not failed:
            self._succeeded_s = at_s
            return False
        recent = [bad for when, bad in self._attempts if at_s - when <= self._policy.window_s]
        return len(recent) >= self._policy.least and sum(recent) >= self._policy.share * len(recent)

    def is_silent(self, at_s: float) -> bool:
        """Whether no attempt has succeeded lately: then a failure is worth writing down. An endpoint that
        answers some of many attempts is judged by their share, which needs no writes."""
        return at_s - self._succeeded_s > self._policy.window_s

    def tells_recovery(self, at_s: float) -> bool:
        """Whether a success that ends a row of failures is to be written: once a second is enough."""
        if at_s - self._told_s < 1:
            return False
        self._told_s = at_s
        return True

    def clear(self) -> None:
        """Forget what was."""
        self._attempts.clear()
        self._succeeded_s = self._told_s = float("-inf")


class Finding(StrEnum):
    """What an attempt established about its endpoint, when that changes nothing by itself."""

    PROBE_FAILED = "probe failed"
    FAILED = "failed"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """What an attempt says about its endpoint, to be written where all processes see it.

    It holds for `url` only: an endpoint that was given another one meanwhile starts anew. A finding may
    be one too many: a probe that failed disables an open endpoint when it is the `limit`th and the breaker
    opened at `since` or earlier; a failure opens a closed one when it is the `limit`th in a row and the
    first of them was at `since` or earlier.
    """

    endpoint_id: UUID
    url: str
    change: Change | Finding
    reason: str
    at: datetime
    probe_at: datetime | None = None
    since: datetime | None = None
    limit: int = 0
