"""Web sites on loopback: an application served by uvicorn on a thread and a loop of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

_STOP_S = 60.0


def listening_socket() -> tuple[socket, str]:
    """A bound socket on a free port of loopback, and its URL."""
    bound = uvicorn.Config(lambda: None, port=0).bind_socket()
    return bound, f"http://127.0.0.1:{bound.getsockname()[1]}"


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server for an application that is started already."""
    return uvicorn.Server(
        uvicorn.Config(app, log_level="error", lifespan="off", ws="none", access_log=False)
    )


@contextmanager
def http_served(app: ASGIApp) -> Iterator[str]:
    """Serves `app` while the block lasts; gives its URL."""
    bound, url = listening_socket()
    server = server_of(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        bound.close()


def site(page: Callable[[Request], Awaitable[str]]) -> ASGIApp:
    """A site of one page, whatever the path."""

    async def answer(request: Request) -> Response:
        return HTMLResponse(await page(request))

    return Starlette(routes=[Route("/{path:path}", answer)])
