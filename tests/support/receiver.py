"""A real HTTP receiver on loopback that fails on cue."""

import re
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """How one request is answered. `drop`: the connection is closed instead of answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    body_delay_s: float = 0
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Receiver:
    """Listens on 127.0.0.1 while its `with` block lasts.

    Each path plays the replies scripted for it in order, then its `otherwise`, then 200.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._lock = threading.Condition()
        self._received: list[Received] = []
        self._scripts: dict[str, deque[Reply]] = {}
        self._otherwise: dict[str, Reply] = {}
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self, self._tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def url(self, path: str = "/") -> str:
        """The URL of a path here."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{path}"

    def script(self, *replies: Reply, path: str = "/", otherwise: Reply | None = None) -> None:
        """Answer the next requests for `path` thus, one reply each."""
        with self._lock:
            self._scripts.setdefault(path, deque()).extend(replies)
            if otherwise:
                self._otherwise[path] = otherwise

    @property
    def requests(self) -> list[Received]:
        """What has arrived so far, in order."""
        with self._lock:
            return list(self._received)

    def wait_for(self, count: int, timeout_s: float = 120) -> list[Received]:
        """The requests, once there are `count`; raises TimeoutError otherwise."""
        with self._lock:
            if not self._lock.wait_for(lambda: len(self._received) >= count, timeout_s):
                raise TimeoutError(f"{len(self._received)} of {count} requests in {timeout_s} s")
            return list(self._received)

    def receive(self, received: Received) -> Reply:
        """Keep a request and choose its reply; called by the server's threads."""
        with self._lock:
            self._received.append(received)
            self._lock.notify_all()
            path = received.path.partition("?")[0]
            script = self._scripts.get(path)
            return script.popleft() if script else self._otherwise.get(path, Reply())


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 512

    def __init__(self, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
        self.receiver = receiver
        self.tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as item:
            item.do_handshake()
            super().finish_request(item, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or refused our certificate is part of the tests."""

    def hang_up(self) -> None:
        for item in list(self._open):
            try:
                item.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.receiver.receive(Received(self.path, headers, body, time.monotonic()))
        self.server.receiver.closing.wait(reply.delay_s)
        if reply.drop:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.server.receiver.closing.wait(reply.body_delay_s)
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


def documented_headers() -> set[str]:
    """The headers that the documentation says every webhook has."""
    page = files("proof.web.pages").joinpath("webhooks.md").read_text()
    rows = page.partition("| Header | What |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `([a-z-]+)` \|", rows, re.M))
