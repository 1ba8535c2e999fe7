"""Time as an argument. Everything here is aware and UTC."""

from datetime import UTC, datetime
from typing import Protocol

import msgspec


class Clock(Protocol):
    """A source of the present moment."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, e.g. 2026-01-02T03:04:05.678901Z; a whole second has no fraction, as in
    msgspec's answers."""
    # Five times as fast as `isoformat`.
    return str(msgspec.to_builtins(moment.astimezone(UTC)))


def second_text(moment: datetime) -> str:
    """The same to the second, e.g. 2026-01-02T03:04:05Z."""
    return moment_text(moment.replace(microsecond=0))


def readable_text(moment: datetime) -> str:
    """A moment in a sentence, e.g. 2026-01-02 03:04:05 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the Unix epoch, the unit of every time in the timestamp API."""
    return round(moment.timestamp() * 1000)
