"""What a stranger can do to a connection: forged requests, floods of headers, silence."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from proof.main.server import connection
from proof.main.server.processes import server_config

PATIENCE_S = 120.0
SEEN: list[str] = []


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        SEEN.append("websocket " + scope["path"])
        await send({"type": "websocket.close"})
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


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Any], Any]]:
    """The loop of the module's server, which passes only while a test runs something on it."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@pytest.fixture(scope="module")
def port(run: Any) -> Iterator[int]:
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

    async def ended() -> None:
        await serving

    run(ended())


async def answered(port: int, *parts: bytes) -> bytes:
    """All that comes back until the server closes, for bytes sent part by part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_ordinary_request_and_its_body(port: int) -> None:
    request = b"POST /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\n\r\n"
    assert (await answered(port, request, b"he", b"llo")).endswith(b"\r\n\r\nhello")


async def test_an_upgrade_smuggles_no_request_in_its_body(port: int) -> None:
    inner = b"GET /inner HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"
    outer = (
        b"GET /outer HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n"
        b"content-length: %d\r\n\r\n" % len(inner)
    )
    reply = await answered(port, outer, inner)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"without Upgrade" in reply
    assert reply.count(b"HTTP/1.1") == 1
    assert SEEN == []


INNER = b"GET /inner HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"
H2C = (
    b"POST /outer HTTP/1.1\r\nhost: h\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    b"connection: Upgrade, HTTP2-Settings\r\n"
)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)


@pytest.mark.parametrize("cut", [1, 40, 150, 180, 10_000])
@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        (b"content-length: %d\r\n\r\n" % len(INNER), INNER),
        (b"transfer-encoding: chunked\r\n\r\n", CHUNKED),
    ],
)
async def test_an_upgrade_to_h2c_is_ignored_and_its_body_stays_a_body(
    port: int, framing: bytes, sent: bytes, cut: int
) -> None:
    whole = H2C + framing + sent
    reply = await answered(port, whole[:cut], whole[cut:])
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert reply.endswith(b"\r\n\r\n" + INNER)
    assert b"connection: close" in reply
    assert SEEN == ["/outer"]


@pytest.mark.parametrize("after", [INNER, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2C + b"\r\n"])
@pytest.mark.parametrize("together", [True, False])
async def test_nothing_follows_a_request_whose_upgrade_was_ignored(
    port: int, after: bytes, together: bool
) -> None:
    whole = H2C + b"content-length: 2\r\n\r\nhi"
    reply = await answered(port, *([whole + after] if together else [whole, after]))
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert reply.endswith(b"\r\n\r\nhi")
    assert SEEN == ["/outer"]


async def test_two_lengths_are_refused_beside_an_ignored_upgrade(port: int) -> None:
    framing = b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    assert (await answered(port, H2C + framing)).startswith(b"HTTP/1.1 400 ")
    assert SEEN == []


OPENING = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def opening(target: str = "/ws?tx_id=1", method: str = "GET", **changes: str) -> bytes:
    headers = OPENING | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: h", *lines, "", ""]).encode()


async def test_a_well_formed_opening_reaches_the_application(port: int) -> None:
    offers = {"sec_websocket_extensions": "=;=", "sec_websocket_protocol": ",,"}
    for request in (opening(), opening(**offers), opening("/sandbox/ws?tx_id=2")):
        assert (await answered(port, request)).startswith(b"HTTP/1.1 403 ")
    assert SEEN == ["websocket /ws", "websocket /ws", "websocket /sandbox/ws"]


@pytest.mark.parametrize(
    "request_head",
    [
        opening("/other"),
        opening("/%77s"),
        opening("http://h/ws/x"),
        opening(method="POST"),
        opening(sec_websocket_version="8"),
        opening(sec_websocket_key=""),
        opening(sec_websocket_key="short"),
        opening(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ== x"),
        opening(x_long="v" * 9_000),
        opening("/ws?" + "q" * 9_000),
        opening().replace(b"host: h", b"host: h\r\nhost: i"),
        opening().replace(b"host: h", b"host: h\r\norigin: a\r\norigin: b"),
    ],
)
async def test_an_opening_of_no_websocket_of_ours_is_an_ordinary_request(
    port: int, request_head: bytes
) -> None:
    reply = await answered(port, request_head)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in reply
    assert len(SEEN) == 1
    assert not SEEN[0].startswith("websocket")


async def test_an_opening_with_a_body_opens_nothing(port: int) -> None:
    for framing in ({"content_length": str(len(INNER))}, {"transfer_encoding": "chunked"}):
        reply = await answered(port, opening(**framing), INNER if len(framing) == 0 else CHUNKED)
        assert reply.startswith(b"HTTP/1.1 200 ")
    assert SEEN == ["/ws", "/ws"]


async def test_an_opening_behind_an_unanswered_request_waits_its_turn(port: int) -> None:
    first = b"GET /first HTTP/1.1\r\nhost: h\r\n\r\n"
    reply = await answered(port, first + opening())
    assert reply.count(b"HTTP/1.1 200 ") == 2
    assert SEEN == ["/first", "/ws"]


@pytest.mark.parametrize("target", ["CONNECT h:1", "GET /ws"])
async def test_no_tunnel_is_opened(port: int, target: str) -> None:
    upgrade = (
        b"" if target.startswith("CONNECT") else b"connection: upgrade\r\nupgrade: websocket, x\r\n"
    )
    request = target.encode() + b" HTTP/1.1\r\nhost: h\r\n" + upgrade + b"\r\n"
    assert (await answered(port, request)).startswith(b"HTTP/1.1 400 ")
    assert SEEN == []


async def test_a_flood_of_headers_ends_early(port: int) -> None:
    flood = [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 1000] * 50]
    assert (await answered(port, *flood[:3])).startswith(b"HTTP/1.1 400 ")
    assert b"more than 100 headers" in await answered(port, *flood[:2])
    assert SEEN == []


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET / HTTP/1.1\r\nx: ", *[b"v" * 9000] * 5],
        [b"GET /", *[b"p" * 9000] * 5],
    ],
)
async def test_an_endless_header_or_path_ends_early(port: int, parts: list[bytes]) -> None:
    reply = await answered(port, *parts)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"over 32768 bytes" in reply
    assert SEEN == []


@pytest.mark.parametrize("over", [0, 64, 20_000])
async def test_a_head_that_comes_in_one_read_has_the_same_bound(port: int, over: int) -> None:
    head = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx: "
    value = b"v" * (connection.MAX_HEAD_BYTES - len(head) + over)
    reply = await answered(port, head + value + b"\r\n\r\n")
    assert (b" 200 " in reply[:16], b"over 32768 bytes" in reply) == (not over, bool(over))


async def test_a_slow_upload_has_its_whole_time_on_a_fresh_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.3)
    ended = asyncio.Event()

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    writer.write(b"POST /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n")
    writer.write(b"content-length: 5\r\n\r\nhe")
    # Set by the clock that would have ended the connection, a moment after it would have.
    loop.call_later(2 * connection.SILENCE_S, ended.set)
    await ended.wait()
    writer.write(b"llo")
    async with asyncio.timeout(PATIENCE_S):
        reply = await reader.read()
    writer.close()
    assert reply.endswith(b"\r\n\r\nhello")


def test_the_server_library_is_the_version_whose_private_members_are_used() -> None:
    """`connection` and `websocket` of proof.main.server build on what uvicorn does not promise to keep."""
    pinned = re.search(r'"uvicorn==([0-9.]+)"', Path("pyproject.toml").read_text())
    assert pinned
    assert pinned[1] == uvicorn.__version__


@pytest.mark.parametrize(
    "parts",
    [[], [b"GET / HTTP/1.1\r\nx"], [b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc"]],
)
async def test_silence_and_unfinished_requests_end(
    port: int, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.2)
    monkeypatch.setattr(connection, "ARRIVAL_S", 0.2)
    assert b"200 OK" not in await answered(port, *parts)
