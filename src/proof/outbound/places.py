"""Calls under way, shared out by owner."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from proof.core.errors import BusyError

# aiohttp's connector hands nothing of a call down to its resolver, and tasks inherit their context.
_owner: ContextVar[int | None] = ContextVar("owner", default=None)


@contextmanager
def on_behalf_of(owner: int) -> Iterator[None]:
    """Calls made inside are this partner environment's: its share bounds them and their name lookups."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def owner() -> int | None:
    """Whose calls these are; None when nobody said."""
    return _owner.get()


class Places:
    """At most `most` calls at a time, and `each` of one owner; nobody's count as one owner's."""

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._taken: Counter[int | None] = Counter()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises BusyError at once: who waited here would hold places elsewhere."""
        taker = owner()
        if self._taken[taker] >= self._each:
            raise BusyError(f"{self._each} such calls are under way; wait until one has ended")
        if self._taken.total() >= self._most:
            raise BusyError("too many such calls are under way; try again in a second")
        self._taken[taker] += 1
        try:
            yield
        finally:
            self._taken[taker] -= 1
            if not self._taken[taker]:
                del self._taken[taker]
