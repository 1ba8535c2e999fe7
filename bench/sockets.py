"""Many WebSockets that watch one transaction each, over bare sockets in one epoll loop.

Run as a process of its own: a `Watching` as JSON in the first line of standard input (the token stays out
of the process title). "open" on standard output when every socket has its first message; after the next
line of input a `Received` as JSON. Pings are answered, as any client does.
"""

import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

import msgspec
from msgspec import Struct

_OPENING_AT_ONCE = 32
_RECEIVE_BYTES = 16_384
_WAIT_S = 30.0
_TEXT, _CLOSE, _PING = 1, 8, 9
_REFUSED = (b"HTTP/1.1 429 ", b"HTTP/1.1 503 ")


class Watching(Struct, frozen=True):
    """What to open. `source` is the loopback address to call from, for its own range of ports. `refusable`:
    the server may have fewer places than that, and what it refuses is given up."""

    port: int
    source: str
    token: str
    transactions: list[str]
    path: str = "/ws"
    refusable: bool = False


class Received(Struct, frozen=True):
    """When each message came, by the machine's monotonic clock in nanoseconds: (transaction, status, when);
    without the first of each, which is the present state. `cpu_s` is the generator's own."""

    messages: list[tuple[str, str, int]]
    closed: int
    cpu_s: float


class _Message(Struct):
    merchant_transaction_id: str
    status: str


def allow_files() -> None:
    """Every connection is a file: take as many as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class WatchError(Exception):
    """A socket was not opened."""


class Watchers:
    """A process of watchers, seen from outside."""

    def __init__(self, watching: Watching) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sockets"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._say(msgspec.json.encode(watching))

    def await_open(self) -> None:
        """Until all are open. Raises WatchError."""
        if self._out.readline().strip() != b"open":
            raise WatchError("the watchers did not open their sockets")

    def finish(self) -> Received:
        """What came until now."""
        self._say(b"")
        received = msgspec.json.decode(self._out.readline(), type=Received)
        self._process.wait()
        return received

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()


class _Client:
    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._opening: set[int] = set()
        self._first: set[int] = set()
        self._decode = msgspec.json.Decoder(_Message).decode
        self.messages: list[tuple[str, str, int]] = []
        self.closed = 0

    def open_all(self) -> None:
        left = list(reversed(self._watching.transactions))
        while left or self._opening or len(self._first) < len(self._sockets):
            while left and len(self._opening) < _OPENING_AT_ONCE:
                self._open(left.pop())
            self.step(_WAIT_S)

    def listen(self, descriptor: int) -> None:
        """Receive until something can be read from `descriptor`."""
        self._epoll.register(descriptor, select.EPOLLIN)
        while not self.step(_WAIT_S, descriptor):
            pass

    def step(self, wait_s: float, until: int = -1) -> bool:
        for descriptor, _event in self._epoll.poll(wait_s):
            if descriptor == until:
                return True
            received = self._sockets[descriptor].recv(_RECEIVE_BYTES)
            if not received:
                self._close(descriptor)
                continue
            self._take(descriptor, self._partial.pop(descriptor, b"") + received)
        return False

    def _open(self, transaction: str) -> None:
        address = ("127.0.0.1", self._watching.port)
        connection = socket.create_connection(address, _WAIT_S, (self._watching.source, 0))
        connection.sendall(
            f"GET {self._watching.path}?tx_id={transaction} HTTP/1.1\r\nHost: {address[0]}\r\n"
            f"Authorization: Bearer {self._watching.token}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._opening.add(descriptor)
        self._epoll.register(connection, select.EPOLLIN)

    def _take(self, descriptor: int, data: bytes) -> None:
        if descriptor in self._opening:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._partial[descriptor] = head
                return
            if self._watching.refusable and head.startswith(_REFUSED):
                self._opening.discard(descriptor)
                self._close(descriptor)
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                raise WatchError(f"unexpected answer: {head[:200]!r}")
            self._opening.discard(descriptor)
        while (frame := _frame(data)) is not None:
            opcode, payload, data = frame
            self._hear(descriptor, opcode, payload)
        if data:
            self._partial[descriptor] = data

    def _hear(self, descriptor: int, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            # Masked with zeros, which changes nothing.
            pong = bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload
            self._sockets[descriptor].sendall(pong)
        elif opcode == _TEXT and descriptor in self._first:
            now = time.monotonic_ns()
            message = self._decode(payload)
            self.messages.append((message.merchant_transaction_id, message.status, now))
        elif opcode == _TEXT:
            self._first.add(descriptor)

    def _close(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        self._sockets.pop(descriptor).close()
        self.closed += 1
        if descriptor in self._opening:
            raise WatchError("the server closed a connection before it was open")


def _frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode, payload and rest of an unmasked frame of up to 64 KiB; None while it is incomplete."""
    if len(data) < 4 and (len(data) < 2 or data[1] == 126):
        return None
    length, start = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
    if len(data) < start + length:
        return None
    return data[0] & 0x0F, data[start : start + length], data[start + length :]


def spread(transactions: Sequence[str], processes: int) -> list[list[str]]:
    """As many parts as processes, as equal as can be."""
    return [list(transactions[n::processes]) for n in range(processes)]


def _main() -> None:
    allow_files()
    watching = msgspec.json.decode(sys.stdin.buffer.readline(), type=Watching)
    client = _Client(watching)
    client.open_all()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    cpu_started = time.process_time()
    client.listen(sys.stdin.fileno())
    received = Received(client.messages, client.closed, time.process_time() - cpu_started)
    sys.stdout.buffer.write(msgspec.json.encode(received) + b"\n")


if __name__ == "__main__":
    _main()
