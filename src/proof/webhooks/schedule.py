"""When a delivery is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MINUTE_S = 60
_HOUR_S = 3600

LONGEST_RETRY_AFTER_S = 24 * _HOUR_S
# RFC 9110, 5.6.7: 29 characters; the obsolete forms are little longer.
_LONGEST_RETRY_AFTER_TEXT = 64


@dataclass(frozen=True, slots=True)
class Schedule:
    """`delays_s[n]` seconds precede attempt n+1; after the last one the delivery has failed.

    Each delay is spread by ±`jitter` of itself, so that what failed together does not return
    together. `random` gives numbers in [0, 1).
    """

    delays_s: tuple[float, ...] = (
        0,
        5,
        5 * _MINUTE_S,
        30 * _MINUTE_S,
        2 * _HOUR_S,
        5 * _HOUR_S,
        10 * _HOUR_S,
        14 * _HOUR_S,
        20 * _HOUR_S,
        24 * _HOUR_S,
    )
    jitter: float = 0.2
    random: Callable[[], float] = random.random

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after `attempts` failed attempts; None when there is no further one."""
        if attempts >= len(self.delays_s):
            return None
        return self.spread(self.delays_s[attempts])

    def spread(self, delay_s: float) -> float:
        """The delay, spread by the jitter."""
        return delay_s * (1 + self.jitter * (2 * self.random() - 1))


def retry_after_s(value: str | None, now: datetime) -> float:
    """Seconds a receiver asks to be left alone (RFC 9110, 10.2.3), at most 24 hours.

    `value` is the header, seconds or an HTTP-date. A missing, past or malformed one is 0: the
    schedule alone decides.
    """
    text = (value or "").strip()
    if not text or len(text) > _LONGEST_RETRY_AFTER_TEXT:
        return 0
    if text.isascii() and text.isdigit():
        return min(int(text), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0
    # The zone of an HTTP-date is GMT, also where the obsolete form leaves it out.
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return min(max((aware - now).total_seconds(), 0), LONGEST_RETRY_AFTER_S)
