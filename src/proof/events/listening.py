"""LISTEN: hearing at once that something was committed, without relying on it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from proof.core.errors import DatabaseUnavailableError
from proof.core.loop import Loop
from proof.db import Connection, Database
from proof.db.outages import stated_outages

# Without a probe a connection whose server vanished looks like a quiet one.
_PROBE_EVERY_S = 5.0
_PROBE_TIMEOUT_S = 5.0


class Listener:
    """One connection of this process that listens on one channel; opened again when it is lost.

    `heard` is called for every notice, in any number for several of them, and after every connecting:
    what was notified while nobody listened was not heard, so whoever is told must look for itself.
    `lost` is called when the connection is lost.
    """

    def __init__(
        self,
        database: Database,
        channel: str,
        heard: Callable[[], None],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._channel = channel
        self._heard = heard
        self._lost = lost

    async def run(self) -> None:
        """Listen until cancelled."""
        await Loop(f"listen to {self._channel}", self._listen, 0).run()

    async def _listen(self) -> bool:
        """Until the connection is lost. Raises DatabaseUnavailableError, then or when there is none."""
        connection = await self._database.dedicated()
        gone = asyncio.Event()
        try:
            with stated_outages(connection):
                connection.add_termination_listener(lambda _connection: gone.set())
                await connection.add_listener(self._channel, lambda *_notice: self._heard())
                self._heard()
                while not gone.is_set():
                    await self._probe(connection, gone)
        finally:
            self._lost()
            connection.terminate()
        raise DatabaseUnavailableError("the listening connection was lost; it is opened again")

    async def _probe(self, connection: Connection, gone: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_EVERY_S):
                await gone.wait()
        if not gone.is_set():
            await connection.execute("SELECT 1", timeout=_PROBE_TIMEOUT_S)
