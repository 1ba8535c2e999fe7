"""One HTTP process, until it is told to stop."""

import asyncio
import signal
import time
from email.utils import formatdate
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from proof.config import Settings
from proof.main.events import configure_logging
from proof.main.parts.database import await_database, opened
from proof.main.parts.keys import open_vault, require_ring
from proof.main.server.compose import asgi
from proof.main.server.connection import BoundedConnection
from proof.main.server.supervise import allow_files, end_with_supervisor, listening_socket
from proof.main.server.websocket import (
    MAX_MESSAGE_BYTES,
    PING_EVERY_S,
    PONG_WITHIN_S,
    BoundedWebSocket,
)

_GRACEFUL_S = 30
_KEEP_ALIVE_S = 75


class State(ServerState):
    """What connections share: the Date header, made anew in each second in which somebody asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        if (second := int(time.time())) != self._second:
            self._second, self._headers = (
                second,
                [(b"date", formatdate(second, usegmt=True).encode())],
            )
        return self._headers

    @default_headers.setter
    def default_headers(self, _given: list[tuple[bytes, bytes]]) -> None:
        """What uvicorn begins with: none."""


class Server(uvicorn.Server):
    """uvicorn looks ten times a second whether it was told to stop; here the signal says so."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = State()

    async def main_loop(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        if not self.should_exit:
            await self._told.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # A signal during the start comes before the loop that it would end.
        if hasattr(self, "_told"):
            self._loop.call_soon_threadsafe(self._told.set)


def run_api(settings: Settings) -> None:
    """Serve HTTP; on SIGTERM, finish the requests under way. Raises ProofError when it cannot start."""
    end_with_supervisor()
    configure_logging()
    allow_files()
    # uvicorn shuts down in order and then raises the signal again, for whoever had a handler before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with listening_socket(settings.host, settings.port) as listening:
        asyncio.run(_require_database(settings))
        app = asgi(settings)
        try:
            Server(server_config(app)).run(sockets=[listening])
        except SystemExit:
            if app.failure is None:
                raise
    if app.failure is not None:
        raise app.failure


async def _require_database(settings: Settings) -> None:
    """Wait for the database. Raises SettingsError when it is none for this program or this key."""
    await await_database(settings)
    async with opened(settings) as database, database.connection() as connection:
        await require_ring(connection, open_vault(settings))


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How our HTTP processes run an application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedConnection,
        ws=BoundedWebSocket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PONG_WITHIN_S,
        # A few hundred bytes once in a while are not worth a compressor's memory for each connection.
        ws_per_message_deflate=False,
        lifespan="on",
        # The client's address is decided in `api/edge.py` alone.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        # uvicorn warns of each malformed request, so a stranger could fill the log.
        log_level="error",
        backlog=4096,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACEFUL_S,
    )


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)
