"""When notices that wait to be mailed are polled for, tried again, given up and forgotten."""

from datetime import datetime, timedelta
from typing import Final

POLL_S: Final = 5.0
FORGET_S: Final = 3600.0
LEASE: Final = timedelta(minutes=5)
GIVE_UP: Final = timedelta(days=3)
KEPT: Final = timedelta(days=90)
_FIRST_WAIT_S = 60
_LONGEST_WAIT_S = 3600


def next_try(now: datetime, tries: int) -> datetime:
    """When a notice is tried again that was not mailed, after so many tries: twice as long each time, an
    hour at most."""
    return now + timedelta(seconds=min(_FIRST_WAIT_S << min(tries - 1, 16), _LONGEST_WAIT_S))
