"""When an endpoint is left alone, probed, and given up."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from proof.webhooks.notices import Change

# Enough to know a share by; older ones say little about now.
_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """A breaker opens when `share` of at least `least` attempts within `window_s` seconds failed.

    Then one delivery at a time probes the endpoint: first after `first_probe_s`, each wait twice the
    one before, at most `longest_probe_s`. The first success closes it; after `probes` failed ones
    over `disable_after` the endpoint is disabled, and no longer called.
    """

    window_s: float = 60
    least: int = 10
    share: float = 0.5
    first_probe_s: float = 30
    longest_probe_s: float = 3600
    probes: int = 10
    disable_after: timedelta = timedelta(days=5)

    def probe_delay_s(self, failed_probes: int) -> float:
        """Seconds from now to the next probe, after so many failed ones."""
        # 2 to the 30th is past any limit; more would overflow after years.
        return min(self.first_probe_s * (1 << min(failed_probes, 30)), self.longest_probe_s)


class Window:
    """The last attempts at one endpoint, as one process saw them."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._attempts: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)

    def add(self, at_s: float, failed: bool) -> bool:
        """Remember an attempt that ended at `at_s`; whether the breaker is to open now."""
        self._attempts.append((at_s, failed))
        if not failed:
            return False
        recent = [bad for when, bad in self._attempts if at_s - when <= self._policy.window_s]
        return len(recent) >= self._policy.least and sum(recent) >= self._policy.share * len(recent)

    def last_s(self) -> float:
        """When the latest attempt ended; 0 when there is none."""
        return self._attempts[-1][0] if self._attempts else 0

    def clear(self) -> None:
        """Forget what was."""
        self._attempts.clear()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt says about its endpoint, to be written where all processes see it.

    It holds for `url` only: an endpoint that was given another one meanwhile starts anew. A `change`
    of None is a probe that failed; `disable_opened_before` and `disable_at_probes` say when it was
    one too many.
    """

    endpoint_id: UUID
    url: str
    change: Change | None
    reason: str
    at: datetime
    probe_at: datetime | None = None
    disable_opened_before: datetime | None = None
    disable_at_probes: int = field(default=0)
