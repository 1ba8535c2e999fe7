"""The application behind its real server on loopback, a relay as a worker has, and a client of `/ws`."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from proof.core.loop import Loop
from proof.db import Database
from proof.events import PUBLISHED, Listener, relay
from proof.main.server.processes import server_config

PATIENCE_S = 120.0


@asynccontextmanager
async def serving(app: ASGIApp, **changes: Any) -> AsyncIterator[int]:
    """The port on which our HTTP server serves an application whose lifespan somebody else began.

    `changes` are attributes of uvicorn's Config.
    """
    config = server_config(app)
    for name, value in changes.items():
        setattr(config, name, value)
    config.lifespan = "off"
    config.loop = "none"
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - the library sets a flag, no event
        await asyncio.sleep(0.01)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def relaying(database: Database, idle_s: float = 60.0) -> AsyncIterator[None]:
    """A relay that looks when it is notified, and hardly ever else."""

    async def step() -> bool:
        async with database.transaction() as tx:
            return bool(await relay(tx, 1_000))

    loop = Loop("relay", step, idle_s)
    tasks = [
        asyncio.create_task(loop.run()),
        asyncio.create_task(Listener(database, {PUBLISHED: loop.wake}).run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Watcher:
    """One connection to /ws."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> dict[str, Any]:
        """The next message. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.connection.recv()
        assert isinstance(message, str)
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    async def statuses(self) -> list[str]:
        """The statuses of all messages until the server closes."""
        found = []
        with suppress(ConnectionClosed):
            while True:
                found.append((await self.next())["status"])
        return found

    async def closed(self) -> int | None:
        """The code the server closes with, after any messages."""
        await self.statuses()
        return self.connection.close_code


@asynccontextmanager
async def watching(
    port: int,
    transaction: UUID | str,
    token: str | None,
    *,
    prefix: str = "",
    headers: Iterable[tuple[str, str]] = (),
    **options: Any,
) -> AsyncIterator[Watcher]:
    """An open connection. Raises InvalidStatus when it is refused."""
    sent = [*headers] if token is None else [("Authorization", f"Bearer {token}"), *headers]
    uri = f"ws://127.0.0.1:{port}{prefix}/ws?tx_id={transaction}"
    async with connect(
        uri, additional_headers=sent, proxy=None, open_timeout=PATIENCE_S, **options
    ) as connection:
        yield Watcher(connection)


async def refusal(port: int, target: str, *headers: tuple[str, str]) -> tuple[int, Any, Any]:
    """Status, headers and JSON body that refuse a WebSocket at `target`."""
    try:
        async with connect(
            f"ws://127.0.0.1:{port}{target}",
            additional_headers=headers,
            proxy=None,
            open_timeout=PATIENCE_S,
        ) as connection:
            raise AssertionError(f"the WebSocket was opened: {connection}")
    except InvalidStatus as refused:
        response = refused.response
        return response.status_code, response.headers, json.loads(response.body or b"null")
