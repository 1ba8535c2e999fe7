"""Many connections that ask again as soon as they are answered, whatever the answer.

Run as a process of its own: a `Flood` as JSON in the first line of standard input (tokens stay out of the
process title), "open" on standard output when it begins; after the end of the input an `Answers` as JSON.
One epoll loop over bare sockets: every answer is read whole before the same connection asks again.
"""

import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import IO

import msgspec
from msgspec import Struct

from bench.sockets import allow_files

_RECEIVE_BYTES = 65_536
_END_S = 60.0
_DIGEST_CHARACTERS = 64
# A server that refuses connections is asked again so often.
_RECONNECT_S = 0.1


class Flood(Struct, frozen=True, kw_only=True):
    """What to send: `requests`, one after the other over all connections, from so many loopback addresses.

    Each is a head without the Host, and a body of bytes, one a character. With `hashes` the body is as
    many new digests to submit, made from `seed` and the request's number. `per_second` of all connections
    together; 0: as fast as answers come.
    """

    port: int
    connections: int
    requests: list[tuple[str, str]]
    sources: int = 1
    hashes: int = 0
    seed: int = 0
    per_second: float = 0.0


class Answers(Struct, frozen=True):
    """How many answers had each status, connections that ended without one as status 0; `acknowledged`:
    the numbers of the requests that were answered with success, and when, by the machine's monotonic clock
    in seconds."""

    statuses: dict[int, int]
    acknowledged: list[tuple[int, float]]


class Flooding:
    """A process of floods, seen from outside."""

    def __init__(self, flood: Flood) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._in.write(msgspec.json.encode(flood) + b"\n")
        self._in.flush()
        self._out.readline()

    def finish(self) -> Answers:
        """End it; what was answered."""
        self._in.close()
        answers = msgspec.json.decode(self._out.readline(), type=Answers)
        self._process.wait(_END_S)
        self._out.close()
        return answers

    @property
    def _in(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


@contextmanager
def flooding(flood: Flood) -> Iterator[None]:
    """A flood for as long as the block lasts."""
    process = Flooding(flood)
    try:
        yield
    finally:
        process.finish()


def digests(seed: int, number: int, count: int) -> list[str]:
    """The hashes of one request."""
    if count == 1:
        return [sha256(b"%d %d" % (seed, number)).hexdigest()]
    drawn = random.Random(seed << 32 | number).randbytes(32 * count).hex()
    return [drawn[at : at + _DIGEST_CHARACTERS] for at in range(0, len(drawn), _DIGEST_CHARACTERS)]


class _Connection:
    """One that asks, and what it has sent and received of it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.socket: socket.socket | None = None
        self.unsent = b""
        self.received = b""
        self.number = -1


class _Client:
    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._closed = deque(
            _Connection(f"127.0.{1 + n % flood.sources // 250}.{1 + n % flood.sources % 250}")
            for n in range(flood.connections)
        )
        self._idle: deque[_Connection] = deque()
        self._asked = 0
        self._began = time.monotonic()
        self._reconnect_at = 0.0
        self.statuses: Counter[int] = Counter()
        self.acknowledged: list[tuple[int, float]] = []

    def run(self, descriptor: int) -> None:
        """Until something can be read from `descriptor`."""
        self._epoll.register(descriptor, select.EPOLLIN)
        while True:
            self._connect()
            self._ask()
            for ready, event in self._epoll.poll(0.005 if self._flood.per_second else 0.05):
                if ready == descriptor:
                    return
                connection = self._open.get(ready)
                if connection is not None:
                    self._serve(connection, event)

    def _connect(self) -> None:
        while self._closed and time.monotonic() >= self._reconnect_at:
            connection = self._closed[0]
            made = socket.socket()
            try:
                made.bind((connection.source, 0))
                made.connect(("127.0.0.1", self._flood.port))
            except OSError:
                made.close()
                self._reconnect_at = time.monotonic() + _RECONNECT_S
                return
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._closed.popleft()
            connection.socket = made
            connection.unsent = connection.received = b""
            self._open[made.fileno()] = connection
            self._epoll.register(made, select.EPOLLIN)
            self._idle.append(connection)

    def _ask(self) -> None:
        pace = self._flood.per_second
        while self._idle and (not pace or self._asked < (time.monotonic() - self._began) * pace):
            connection = self._idle.popleft()
            if connection.socket is not None:
                connection.number, self._asked = self._asked, self._asked + 1
                connection.unsent = self._request(connection.number)
                self._send(connection)

    def _request(self, number: int) -> bytes:
        flood = self._flood
        head, body = flood.requests[number % len(flood.requests)]
        if flood.hashes:
            body = '{"sha256":["' + '","'.join(digests(flood.seed, number, flood.hashes)) + '"]}'
        told = body.encode("latin-1")
        return (
            f"{head}Host: 127.0.0.1:{flood.port}\r\nContent-Length: {len(told)}\r\n\r\n".encode()
            + told
        )

    def _serve(self, connection: _Connection, event: int) -> None:
        if event & select.EPOLLOUT:
            self._send(connection)
        if event & ~select.EPOLLOUT:
            self._receive(connection)

    def _send(self, connection: _Connection) -> None:
        assert connection.socket is not None
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(connection)
            return
        connection.unsent = connection.unsent[sent:]
        wanted = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
        self._epoll.modify(connection.socket, wanted)

    def _receive(self, connection: _Connection) -> None:
        assert connection.socket is not None
        try:
            received = connection.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._lose(connection)
            return
        connection.received += received
        head, whole, body = connection.received.partition(b"\r\n\r\n")
        status = int(head[9:12]) if whole else 0
        if whole and len(body) >= _length(head, status):
            connection.received = b""
            self._count(connection, status)
            self._idle.append(connection)

    def _count(self, connection: _Connection, status: int) -> None:
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.acknowledged.append((connection.number, time.monotonic()))
        connection.number = -1

    def _lose(self, connection: _Connection) -> None:
        assert connection.socket is not None
        del self._open[connection.socket.fileno()]
        with suppress(OSError):
            self._epoll.unregister(connection.socket)
        connection.socket.close()
        connection.socket = None
        if connection.number >= 0:
            self._count(connection, 0)
        if connection in self._idle:
            self._idle.remove(connection)
        self._closed.append(connection)


def _length(head: bytes, status: int) -> int:
    if status in (204, 304):
        return 0
    at = head.lower().find(b"content-length: ")
    return int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0


def _main() -> None:
    allow_files()
    flood = msgspec.json.decode(sys.stdin.buffer.readline(), type=Flood)
    client = _Client(flood)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    client.run(sys.stdin.fileno())
    answers = Answers(dict(client.statuses), client.acknowledged)
    sys.stdout.buffer.write(msgspec.json.encode(answers) + b"\n")


if __name__ == "__main__":
    _main()
