"""Receivers that would hold a process: every byte counts, and every call ends."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.certificates import ADDRESS, certificate
from tests.support.hostile import BUFFERED_BYTES, Hostile, endless, hostile

from proof.outbound import OutboundClient, OutboundError, OutboundPolicy, OutboundReply, Reason
from proof.outbound.client import OVERHEAD_BYTES

LOOPBACK = OutboundPolicy((ip_network("127.0.0.0/8"),))
BODY_BYTES = 16_384
BUDGET_BYTES = BODY_BYTES + OVERHEAD_BYTES
# Nobody waits for it: a call that is ended by it has failed the test.
LONG_S = 120

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\n" + b"link: </a>\r\n" * 50 + b"\r\n"),
    "a head of many fields": (OK, b"a: b\r\n"),
    "a head of one field": (OK + b"a: ", b"b" * 64),
    "a reason": (b"HTTP/1.1 200 ", b"OK " * 64),
    "chunk extensions": (CHUNKED + b"1;", b"a=b;"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n"),
    "a body without length": (OK + b"\r\n", b"x" * 64),
    "a body with length": (OK + b"content-length: 9999999999\r\n\r\n", b"x" * 64),
    "no HTTP": (b"", b"\0" * 64),
}


def calls(
    url: str,
    count: int = 1,
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    timeout_s: float = LONG_S,
) -> Sequence[OutboundReply | Reason]:
    """What so many calls at once came to."""

    async def call(client: OutboundClient) -> OutboundReply | Reason:
        try:
            return await client.post(url, b"{}", {})
        except OutboundError as error:
            return error.reason

    async def run() -> Sequence[OutboundReply | Reason]:
        client = OutboundClient(LOOPBACK, timeout_s=timeout_s, connect_timeout_s=LONG_S)
        try:
            return await asyncio.gather(*(call(client) for _ in range(count)))
        finally:
            await client.aclose()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run())


def ended_early(found: OutboundReply | Reason) -> bool:
    """Not by the deadline, and not as if all had come."""
    return found.truncated if isinstance(found, OutboundReply) else found is not Reason.TIMEOUT


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_reply_ends_at_its_budget(what: str, loop: Any) -> None:
    with hostile(endless(*ENDLESS[what])) as server:
        (found,) = calls(server.url, factory=loop)
        server.hung_up.wait()
    assert ended_early(found)
    assert server.sent_bytes <= BUDGET_BYTES + BUFFERED_BYTES


def test_fifteen_endless_replies_end_at_their_budgets() -> None:
    with hostile(endless(*ENDLESS["100 Continue"])) as server:
        found = calls(server.url, 15)
    assert set(found) == {Reason.TOO_LONG}
    assert server.sent_bytes <= 15 * (BUDGET_BYTES + BUFFERED_BYTES)


def test_an_endless_reply_below_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = certificate(tmp_path, ADDRESS)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with hostile(endless(*ENDLESS["100 Continue"]), context) as server:
        assert calls(server.url) == [Reason.TOO_LONG]
        server.hung_up.wait()
    assert server.sent_bytes <= BUDGET_BYTES + BUFFERED_BYTES


@pytest.mark.parametrize("what", ["chunk extensions", "a body without length"])
def test_the_status_before_an_endless_rest_counts(what: str) -> None:
    with hostile(endless(*ENDLESS[what])) as server:
        (reply,) = calls(server.url)
    assert isinstance(reply, OutboundReply)
    assert (reply.status, reply.truncated) == (200, True)
    assert len(reply.body) <= BODY_BYTES


def test_a_reply_cut_off_at_its_budget_is_not_taken_for_whole() -> None:
    """Its body ends with the connection, which the budget ends before the body's own limit."""
    informational = b"HTTP/1.1 100 Continue\r\n\r\n" * (OVERHEAD_BYTES // 25)
    body = b"x" * (BODY_BYTES + 25)
    with hostile(lambda: iter([informational + OK + b"\r\n" + body])) as server:
        (reply,) = calls(server.url)
    assert isinstance(reply, OutboundReply)
    assert reply.truncated
    assert 0 < len(reply.body) < BODY_BYTES


@pytest.mark.parametrize("ends", [True, False], ids=["its end", "its length"])
def test_a_whole_reply_of_many_bytes_is_within_its_budget(ends: bool) -> None:
    """Parsed in slices, while the connection is closed behind it."""
    fields = b"".join(b"set-cookie: %d=%s\r\n" % (n, b"x" * 500) for n in range(25))
    size = b"" if ends else b"content-length: %d\r\n" % BODY_BYTES
    reply = OK + size + fields + b"\r\n" + b"y" * BODY_BYTES
    informational = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50
    with hostile(lambda: iter([informational, reply])) as server:
        (found,) = calls(server.url)
    assert isinstance(found, OutboundReply)
    assert (found.status, found.truncated, found.body) == (200, False, b"y" * BODY_BYTES)


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"a"),
        (CHUNKED + b"1;", b"a"),
    ],
    ids=["informational responses", "a head", "a chunk extension"],
)
def test_a_deadline_fires_whatever_trickles_in(first: bytes, piece: bytes) -> None:
    with hostile(lambda: trickle(server, first, piece)) as server:
        (found,) = calls(server.url, timeout_s=0.5)
        server.hung_up.wait()
    if isinstance(found, OutboundReply):
        assert (found.status, found.truncated) == (200, True)
    else:
        assert found is Reason.TIMEOUT
    assert server.sent_bytes < BUDGET_BYTES


def trickle(server: Hostile, first: bytes, piece: bytes) -> Iterator[bytes]:
    yield first
    while not server.closing.wait(0.02):
        yield piece


def test_a_deadline_fires_over_a_request_that_is_not_read() -> None:
    """The body is more than the kernels hold, so its sending never ends."""

    async def run() -> Reason:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client = OutboundClient(LOOPBACK, timeout_s=0.5)
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
            try:
                with pytest.raises(OutboundError) as error:
                    await client.post(url, bytes(1_000_000), {})
            finally:
                await client.aclose()
            return error.value.reason

    assert asyncio.run(run()) is Reason.TIMEOUT


def test_a_reply_nobody_asked_for_answers_no_later_request() -> None:
    """It comes on a connection that is kept, while nobody waits for anything."""
    made: list[Any] = []

    class Talkative(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.append(transport)

        def data_received(self, data: bytes) -> None:
            made[-1].write(OK + b"content-length: 1\r\n\r\n%d" % len(made))

    async def run() -> list[bytes]:
        server = await asyncio.get_running_loop().create_server(Talkative, "127.0.0.1", 0)
        client = OutboundClient(LOOPBACK, timeout_s=LONG_S)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            replies = [(await client.post(url, b"", {})).body for _ in range(3)]
            made[0].write(OK + b"content-length: 4\r\n\r\nevil")
            # Loopback delivers what was written; the client reads it in one of its next turns.
            for _ in range(10):
                await asyncio.sleep(0)
            replies.append((await client.post(url, b"", {})).body)
        finally:
            await client.aclose()
            server.close()
            await server.wait_closed()
        return replies

    assert asyncio.run(run()) == [b"1", b"1", b"1", b"2"]
