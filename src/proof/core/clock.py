"""Time as an argument. Everything here is aware and UTC."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of the present moment."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the Unix epoch, the unit of every time in the timestamp API."""
    return round(moment.timestamp() * 1000)
