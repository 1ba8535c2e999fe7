"""Whether the clock can be trusted to the accuracy that tokens promise.

Two things are watched. A step: the wall clock against the time since boot, which NTP may slow or speed
but nobody can set. And, where asked for, the kernel's own word that it is synchronised, with its bound
on the error (adjtimex(2)).
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

_STA_UNSYNC = 0x0040
_US_PER_MS = 1000


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class Readings:
    """Where times come from: the wall clock and the time since boot in seconds, and the kernel's bound
    on the wall clock's error in milliseconds, None while it is not synchronised."""

    wall: Callable[[], float]
    since_boot: Callable[[], float]
    error_ms: Callable[[], float | None]


def kernel_error_ms() -> float | None:
    """The kernel's bound on the clock's error; None while it does not call itself synchronised."""
    answer = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer)) < 0:
        return None
    if answer.status & _STA_UNSYNC:
        return None
    return float(answer.maxerror) / _US_PER_MS


SYSTEM = Readings(time.time, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), kernel_error_ms)


class ClockWatch:
    """Says why no time can be given. Steps are measured from the start, so small ones add up; they are
    forgiven when the clock is back where it was, or by a restart."""

    def __init__(
        self, accuracy_ms: int, *, synchronised: bool, readings: Readings = SYSTEM
    ) -> None:
        self._accuracy_ms = accuracy_ms
        self._synchronised = synchronised
        self._readings = readings
        self._offset = readings.wall() - readings.since_boot()

    def objection(self) -> str | None:
        """None: the clock can be trusted now."""
        offset = self._readings.wall() - self._readings.since_boot()
        moved_ms = abs(offset - self._offset) * 1000
        if moved_ms > self._accuracy_ms / 2:
            return f"the clock was set by {moved_ms:.0f} ms"
        if not self._synchronised:
            return None
        error = self._readings.error_ms()
        if error is None:
            return "the system's clock is not synchronised"
        if error > self._accuracy_ms:
            return f"the system's clock may be wrong by {error:.0f} ms"
        return None
