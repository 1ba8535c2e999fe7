"""The open WebSockets of one process, and closing those that would not be let in any more."""

import asyncio
from collections import Counter, defaultdict
from typing import NamedTuple
from uuid import UUID

from prometheus_client import Gauge

from proof.core.errors import BusyError, QuotaExceededError
from proof.core.loop import SAFETY_S, Again, Loop
from proof.partners.access.credentials import Credential
from proof.partners.access.gate import Gate
from proof.partners.access.networks import Address
from proof.partners.errors import DirectoryStaleError
from proof.ramp.transactions.updates import Reader, Update, Updates

_POLL_S = 0.5

_STALE_PAUSE_S = 0.2

# Each is a file and some memory. One partner environment has half of a process's places, and no more than
# this.
OPEN_AT_MOST = 20_000


_open_sockets = Gauge("proof_websockets", "Open WebSockets", multiprocess_mode="livesum")


class Ending(NamedTuple):
    """How the server closes a WebSocket: a code of RFC 6455, section 7.4.1, and a reason."""

    code: int
    reason: str


OVER = Ending(1000, "the transaction has come to its end")

_NOT_ADMITTED = Ending(1008, "the credential does not let you in from here any more")

_LAGGING = Ending(1013, "you read too slowly; connect again for the present state")


class TooManyWatchesError(QuotaExceededError):
    """A partner environment has as many WebSockets open as it may."""


class _Caller(NamedTuple):
    key_id: str
    address: Address


class Watch:
    """One backend that watches one transaction. Made by `Watches`."""

    __slots__ = ("_gate", "_reader", "address", "credential", "turned_away")

    def __init__(
        self, gate: Gate, reader: Reader, credential: Credential, address: Address
    ) -> None:
        self._gate = gate
        self._reader = reader
        self.credential = credential
        self.address = address
        self.turned_away = False

    @property
    def reader(self) -> Reader:
        return self._reader

    async def next(self) -> Update | Ending | None:
        """The next update, or how to end; None when `stop` was called.

        Only who would still be let in gets an update; while that cannot be checked, it waits.
        """
        update = await self._reader.next()
        if update is not None and await self._admitted():
            return update
        if self.turned_away:
            return _NOT_ADMITTED
        return _LAGGING if self._reader.lagging else None

    def stop(self) -> None:
        """The other side is gone."""
        self._reader.end()

    def turn_away(self) -> None:
        """End, because the gate would not let it in now."""
        self.turned_away = True
        self._reader.end()

    async def _admitted(self) -> bool:
        while not self.turned_away:
            try:
                admitted = await self._gate.still_admits(self.credential, self.address)
            except DirectoryStaleError:
                await asyncio.sleep(_STALE_PAUSE_S)
                continue
            if admitted:
                return True
            self.turn_away()
        return False


class Watches:
    """Who watches what; one a process."""

    def __init__(self, gate: Gate, updates: Updates, places: int = 2 * OPEN_AT_MOST) -> None:
        """`places`: how many WebSockets this process may have open."""
        self._gate = gate
        self._updates = updates
        self._places = places
        self._share = min(OPEN_AT_MOST, places // 2)
        self._open_of: Counter[int] = Counter()
        # Thousands of watches share a few credentials and addresses, so the gate is asked once for all of
        # them.
        self._by_caller: defaultdict[_Caller, set[Watch]] = defaultdict(set)
        self._polling = Loop("open websockets", self._poll, SAFETY_S)

    async def run(self) -> None:
        """Give updates and close what is not admitted any more, until cancelled."""
        await asyncio.gather(self._updates.run(), self._polling.run())

    async def open(self, credential: Credential, address: Address, transaction_id: UUID) -> Watch:
        """A watch of a transaction of the credential's owner; to be closed.

        Raises NotFoundError, TooManyWatchesError, BusyError.
        """
        owner_id = credential.owner.id
        if self._open_of[owner_id] >= self._share:
            raise TooManyWatchesError(
                f"{self._share} WebSockets are open, which is as many as may be; close some, or poll"
            )
        if self._open_of.total() >= self._places:
            raise BusyError("all places for WebSockets are taken; poll")
        self._open_of[owner_id] += 1
        try:
            reader = await self._updates.open(transaction_id, owner_id)
        except BaseException:
            self._count_off(owner_id)
            raise
        watch = Watch(self._gate, reader, credential, address)
        self._by_caller[_Caller(credential.key_id, address)].add(watch)
        self._polling.wake()
        _open_sockets.inc()
        return watch

    def close(self, watch: Watch) -> None:
        """Forget a watch."""
        self._updates.close(watch.reader)
        self._count_off(watch.credential.owner.id)
        caller = _Caller(watch.credential.key_id, watch.address)
        watches = self._by_caller[caller]
        watches.discard(watch)
        if not watches:
            del self._by_caller[caller]
        _open_sockets.dec()

    def _count_off(self, owner_id: int) -> None:
        self._open_of[owner_id] -= 1
        if not self._open_of[owner_id]:
            del self._open_of[owner_id]

    async def _poll(self) -> Again:
        for watches in list(self._by_caller.values()):
            watch = next(iter(watches), None)
            if watch is None or await self._gate.still_admits(watch.credential, watch.address):
                continue
            for each in list(watches):
                each.turn_away()
        return _POLL_S if any(self._by_caller.values()) else False
