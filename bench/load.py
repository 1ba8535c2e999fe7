"""The load generator: a closed loop of HTTP/1.1 keep-alive connections over bare sockets.

Run as a process of its own: a `Load` as JSON on standard input (the key stays out of the process
title), a `Result` as JSON on standard output. One epoll loop, no HTTP library: what it spends on a
request is a tenth of what any Python server does, and `cpu_share` says how busy it was.
"""

import hmac
import itertools
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
from msgspec import Struct

_RECEIVE_BYTES = 65_536
_ANSWERED = (b"HTTP/1.1 200", b"HTTP/1.1 202")
_POOL_HASHES = 8_192
_WAIT_S = 30.0
COUNTER = "@" * 20


class Load(Struct, frozen=True, kw_only=True):
    """What to send. Either `duration_s` bounds the run, after `warmup_s`, or `requests` does. `raw`: a
    body is the bytes of one digest. `body`: the whole body, and `head` more lines for the head, in place of
    hashes; COUNTER in them becomes the number of the request, counted from the seed, in hexadecimal.
    `sign_key`: X-Signature is HMAC-SHA256 of the body under it."""

    host: str
    port: int
    api_key: str
    connections: int
    hashes: int
    seed: int
    warmup_s: float = 0.0
    duration_s: float = 0.0
    requests: int = 0
    path: str = "/v1/timestamp"
    raw: bool = False
    body: str = ""
    head: str = ""
    sign_key: str = ""


class Result(Struct, frozen=True, kw_only=True):
    """What came back in the measured time; `cpu_share` is the generator's own."""

    requests: int
    elapsed_s: float
    p50_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def per_second(self) -> float:
        return self.requests / self.elapsed_s


class LoadError(Exception):
    """An answer was not the expected one, or none came."""


def run_load(load: Load) -> Result:
    """Run the load in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Result)


def digests(seed: int, count: int) -> bytes:
    """`count` digests of 32 bytes, concatenated; the same for the same seed."""
    return random.Random(seed).randbytes(32 * count)


def bulk_seed(seed: int, request: int) -> int:
    """The seed of one request's digests, so that a baseline can insert the same rows."""
    return (seed << 32) + request


def _worded(load: Load) -> Iterator[bytes]:
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        f"x-api-key: {load.api_key}\r\nContent-Type: application/json\r\n{load.head}"
        f"Content-Length: {len(load.body)}\r\n"
    ).encode()
    body, marker, key = load.body.encode(), COUNTER.encode(), load.sign_key.encode()
    for number in itertools.count(load.seed):
        counted = b"%0*x" % (len(marker), number)
        said = body.replace(marker, counted)
        signed = b"X-Signature: %s\r\n" % _signature(key, said) if key else b""
        yield head.replace(marker, counted) + signed + b"\r\n" + said


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()


def _requests(load: Load) -> Iterator[bytes]:
    body = _raw if load.raw else _body
    length = len(body(["0" * 64] * load.hashes))
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        f"x-api-key: {load.api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
    number = 0
    while True:
        # One hash a request draws from a pool: a generator of its own for each would be the cost.
        count = load.hashes if load.requests else load.hashes * _POOL_HASHES
        pool = digests(bulk_seed(load.seed, number), count).hex()
        number += 1
        for start in range(0, len(pool), 64 * load.hashes):
            entries = [pool[at : at + 64] for at in range(start, start + 64 * load.hashes, 64)]
            yield head + body(entries)


def _body(entries: list[str]) -> bytes:
    return b'{"sha256":["' + '","'.join(entries).encode() + b'"]}'


def _raw(entries: list[str]) -> bytes:
    return bytes.fromhex(entries[0])


class _Client:
    """All connections of one run."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent_at: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self.latencies_s: list[float] = []
        self._requests: Iterator[bytes] = _worded(load) if load.body else _requests(load)
        if load.requests:
            # Built beforehand: large bodies cost the generator as much as sending them.
            self._requests = iter([next(self._requests) for _ in range(load.requests)])
        for _ in range(load.connections):
            connection = socket.create_connection((load.host, load.port), timeout=_WAIT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)

    def start(self) -> None:
        for descriptor in self._sockets:
            self._send(descriptor)

    def run_until(self, deadline: float) -> None:
        """Keep every connection busy until the clock passes the deadline."""
        while time.perf_counter() < deadline:
            self._step()

    def run_out(self) -> None:
        """Until every request is answered."""
        while self._sent_at:
            self._step()

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._epoll.close()

    def _step(self) -> None:
        ready = self._epoll.poll(_WAIT_S)
        if not ready:
            raise LoadError(f"no answer for {_WAIT_S:g} s")
        for descriptor, _event in ready:
            received = self._sockets[descriptor].recv(_RECEIVE_BYTES)
            if not received:
                raise LoadError("the server closed a connection")
            if descriptor in self._partial:
                received = self._partial.pop(descriptor) + received
            if not _is_complete(received):
                self._partial[descriptor] = received
                continue
            if not received.startswith(_ANSWERED):
                raise LoadError(f"unexpected answer: {received[:200]!r}")
            self.latencies_s.append(time.perf_counter() - self._sent_at.pop(descriptor))
            self._send(descriptor)

    def _send(self, descriptor: int) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._sent_at[descriptor] = time.perf_counter()
            self._sockets[descriptor].sendall(request)


def _is_complete(received: bytes) -> bool:
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    at = received.find(b"content-length: ", 0, head_end)
    if at < 0:
        raise LoadError(f"an answer without its length: {received[:200]!r}")
    length = int(received[at + 16 : received.index(b"\r", at)])
    return len(received) >= head_end + 4 + length


def _run(load: Load) -> Result:
    client = _Client(load)
    client.start()
    if not load.requests:
        client.run_until(time.perf_counter() + load.warmup_s)
        client.latencies_s.clear()
    started, cpu_started = time.perf_counter(), time.process_time()
    if load.requests:
        client.run_out()
    else:
        client.run_until(started + load.duration_s)
    elapsed_s = time.perf_counter() - started
    cpu_s = time.process_time() - cpu_started
    client.close()
    ordered = sorted(client.latencies_s)
    return Result(
        requests=len(ordered),
        elapsed_s=elapsed_s,
        p50_ms=1000 * ordered[len(ordered) // 2],
        p99_ms=1000 * ordered[len(ordered) * 99 // 100],
        cpu_share=cpu_s / elapsed_s,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
    )
