"""LISTEN and NOTIFY: hearing at once that something was committed, without relying on it.

Notices of one transaction come after its commit, or never. A notifying commit waits for the one before it,
so nothing on the hot path notifies while there is work that its reader has not finished.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from uuid import uuid4

from proof.core.errors import DatabaseUnavailableError
from proof.core.loop import Loop
from proof.db import Connection, Database
from proof.db.outages import stated_outages

# Without a probe a connection whose server vanished looks like a quiet one.
_PROBE_EVERY_S = 5.0
_PROBE_TIMEOUT_S = 5.0
_HEARD_WITHIN_S = 5.0


async def notify(tx: Connection, channel: str) -> None:
    """Wake whoever listens on the channel, when the caller's transaction commits."""
    await tx.execute("SELECT pg_notify($1, '')", channel)


def waking(loops: Iterable[Loop]) -> dict[str, Callable[[], None]]:
    """For a listener: what wakes which of these loops."""
    by_channel: dict[str, list[Loop]] = {}
    for loop in loops:
        for channel in loop.woken_by:
            by_channel.setdefault(channel, []).append(loop)
    return {channel: partial(_wake, woken) for channel, woken in by_channel.items()}


def _wake(loops: Iterable[Loop]) -> None:
    for loop in loops:
        loop.wake()


class Listener:
    """One connection of this process that listens on channels; opened again when it is lost.

    What `heard` has for a channel is called for every notice, in any number for several of them, and after
    every connecting: what was notified while nobody listened was not heard, so whoever is told must look
    for itself. `certain` is called with True once a notice of another connection was heard, so that until
    `lost` none is missed, and `lost` and `certain` with False when the connection is lost, for as long as
    there is none that hears. A pooler that gives a connection to another after each transaction passes no
    notices on.
    """

    def __init__(
        self,
        database: Database,
        heard: Mapping[str, Callable[[], None]],
        lost: Callable[[], None] = lambda: None,
        certain: Callable[[bool], None] = lambda _hears: None,
    ) -> None:
        self._database = database
        self._heard = heard
        self._lost = lost
        self._certain = certain

    async def run(self) -> None:
        """Listen until cancelled."""
        await Loop("listening", self._listen, 0).run()

    async def _listen(self) -> bool:
        """Until the connection is lost. Raises DatabaseUnavailableError, then or when there is none."""
        connection = await self._database.dedicated()
        gone = asyncio.Event()
        try:
            with stated_outages(connection):
                connection.add_termination_listener(lambda _connection: gone.set())
                for channel in self._heard:
                    await connection.add_listener(channel, self._notice)
                for heard in self._heard.values():
                    heard()
                if await self._hears(connection, gone):
                    self._certain(True)
                while not gone.is_set():
                    await self._probe(connection, gone)
        finally:
            self._certain(False)
            self._lost()
            connection.terminate()
        raise DatabaseUnavailableError("the listening connection was lost; it is opened again")

    def _notice(self, _connection: object, _process: int, channel: str, _payload: object) -> None:
        self._heard[channel]()

    async def _hears(self, listening: Connection, gone: asyncio.Event) -> bool:
        """Whether a notice of another connection arrives: one's own would, through a pooler."""
        channel, ended = f"proof_{uuid4().hex}", asyncio.Event()

        def end(*_: object) -> None:
            ended.set()

        listening.add_termination_listener(end)
        await listening.add_listener(channel, end)
        async with self._database.connection() as other:
            await notify(other, channel)
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_WITHIN_S):
                await ended.wait()
        await listening.remove_listener(channel, end)
        return ended.is_set() and not gone.is_set()

    async def _probe(self, connection: Connection, gone: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_EVERY_S):
                await gone.wait()
        if not gone.is_set():
            await connection.execute("SELECT 1", timeout=_PROBE_TIMEOUT_S)
