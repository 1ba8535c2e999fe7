"""When a delivery is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE_S = 60
_HOUR_S = 3600


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
        return self.delays_s[attempts] * (1 + self.jitter * (2 * self.random() - 1))
