"""What a stranger can do to a connection: forged requests, floods of headers, silence."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from proof.main import connection
from proof.main.processes import server_config

PATIENCE_S = 10.0
SEEN: list[str] = []


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    SEEN.append(scope["path"])
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(run: Any) -> Iterator[int]:
    SEEN.clear()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(application))

    async def start() -> "asyncio.Task[None]":
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - the library sets a flag, no event
            await asyncio.sleep(0.01)
        return serving

    serving = run(start())
    yield int(listening.getsockname()[1])
    server.should_exit = True
    run(serving)


async def answered(port: int, *parts: bytes) -> bytes:
    """All that comes back until the server closes, for bytes sent part by part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_an_ordinary_request_and_its_body(run: Any, port: int) -> None:
    request = b"POST /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\n\r\n"
    assert run(answered(port, request, b"he", b"llo")).endswith(b"\r\n\r\nhello")


def test_an_upgrade_smuggles_no_request_in_its_body(run: Any, port: int) -> None:
    inner = b"GET /inner HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"
    outer = (
        b"GET /outer HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n"
        b"content-length: %d\r\n\r\n" % len(inner)
    )
    reply = run(answered(port, outer, inner))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"without Upgrade" in reply
    assert reply.count(b"HTTP/1.1") == 1
    assert SEEN == []


def test_a_flood_of_headers_ends_early(run: Any, port: int) -> None:
    flood = [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 1000] * 50]
    assert run(answered(port, *flood[:3])).startswith(b"HTTP/1.1 400 ")
    assert b"more than 100 headers" in run(answered(port, *flood[:2]))
    assert SEEN == []


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET / HTTP/1.1\r\nx: ", *[b"v" * 9000] * 5],
        [b"GET /", *[b"p" * 9000] * 5],
    ],
)
def test_an_endless_header_or_path_ends_early(run: Any, port: int, parts: list[bytes]) -> None:
    reply = run(answered(port, *parts))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"over 32768 bytes" in reply
    assert SEEN == []


@pytest.mark.parametrize(
    "parts",
    [[], [b"GET / HTTP/1.1\r\nx"], [b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc"]],
)
def test_silence_and_unfinished_requests_end(
    run: Any, port: int, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.2)
    monkeypatch.setattr(connection, "ARRIVAL_S", 0.2)
    assert b"200 OK" not in run(answered(port, *parts))
