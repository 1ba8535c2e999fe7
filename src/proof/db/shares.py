"""Whose work a connection is taken for, and how many each may hold at once.

Whoever serves requests says whose work it is (`working_for`); the pool then lets each holder have a few of
its connections, and those that wait take turns: one of each holder, however many each has waiting. What
says nothing is the process's own work and waits for nobody here; some of the pool is kept for it.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto

from proof.core.errors import BusyError


class Work(Enum):
    """What kind of caller it is for; each kind has a budget for all of its callers together."""

    PARTNER = auto()
    OPERATOR = auto()
    WIDGET = auto()
    CALLBACK = auto()
    ANONYMOUS = auto()


# A kind and who of it: a partner environment, an operator, an address.
Share = tuple[Work, Hashable]

_share: ContextVar[Share | None] = ContextVar("share", default=None)


@contextmanager
def working_for(share: Share | None) -> Iterator[None]:
    """Connections taken within are of this share; of None, the process's own."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def current_share() -> Share | None:
    """Whose work this is."""
    return _share.get()


@dataclass(frozen=True, slots=True)
class Bounds:
    """`places` in all, `each` for one holder, and for all of a `kind` where it is less.

    One holder has at most `waiting` in its queue, and as many have all that are in no partner's; each waits
    `wait_s` at most.
    """

    places: int
    each: int
    kinds: Mapping[Work, int] = field(default_factory=dict)
    waiting: int = 500
    wait_s: float = 3.0


class Turns:
    """Places that holders take in turns, in one process."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._held: Counter[Share] = Counter()
        self._held_by_kind: Counter[Work] = Counter()
        # The holder whose turn is next comes first.
        self._waiting: OrderedDict[Share, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting_by_kind: Counter[Work] = Counter()

    @asynccontextmanager
    async def turn(self, share: Share) -> AsyncIterator[None]:
        """A place until the end of the block. Raises BusyError."""
        await self.take(share)
        try:
            yield
        finally:
            self.give(share)

    async def take(self, share: Share) -> None:
        """Take a place, to be given back. Raises BusyError for who waits longer than its fair turn."""
        if share not in self._waiting and self._may(share):
            self._hold(share)
            return
        if self._is_full(share):
            raise BusyError("too many of your calls wait for each other")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(share, deque()).append(place)
        self._waiting_by_kind[share[0]] += 1
        try:
            async with asyncio.timeout(self._bounds.wait_s):
                await place
        except BaseException as error:
            self._withdraw(share, place)
            if isinstance(error, TimeoutError):
                raise BusyError("your other calls are before this one") from None
            raise

    def give(self, share: Share) -> None:
        """Give a place back; whoever's turn it is gets it."""
        self._held[share] -= 1
        self._held_by_kind[share[0]] -= 1
        if not self._held[share]:
            del self._held[share]
        self._hand_on()

    def _may(self, share: Share) -> bool:
        bounds, kind = self._bounds, share[0]
        return (
            self._held[share] < bounds.each
            and self._held_by_kind[kind] < bounds.kinds.get(kind, bounds.places)
            and self._held_by_kind.total() < bounds.places
        )

    def _hold(self, share: Share) -> None:
        self._held[share] += 1
        self._held_by_kind[share[0]] += 1

    def _is_full(self, share: Share) -> bool:
        if share[0] is Work.PARTNER:
            return len(self._waiting.get(share, ())) >= self._bounds.waiting
        return self._waiting_by_kind[share[0]] >= self._bounds.waiting

    def _hand_on(self) -> None:
        for share in list(self._waiting):
            if self._held_by_kind.total() >= self._bounds.places:
                return
            if self._may(share) and (place := self._next_of(share)) is not None:
                self._hold(share)
                place.set_result(None)

    def _next_of(self, share: Share) -> "asyncio.Future[None] | None":
        """The first that still waits; who gave up in this moment has not left the queue yet."""
        self._waiting.move_to_end(share)
        while share in self._waiting:
            place = self._waiting[share].popleft()
            self._forget(share)
            if not place.done():
                return place
        return None

    def _withdraw(self, share: Share, place: "asyncio.Future[None]") -> None:
        """Whoever gave up waiting may have been given the place in the same moment."""
        if place.done() and not place.cancelled():
            self.give(share)
            return
        if place in self._waiting.get(share, ()):
            self._waiting[share].remove(place)
            self._forget(share)

    def _forget(self, share: Share) -> None:
        self._waiting_by_kind[share[0]] -= 1
        if not self._waiting[share]:
            del self._waiting[share]
