"""A machine between a client and a server over HTTP: it records every call, and loses, doubles or alters
some. Without a server behind it, it is one that is not Proof: another program at a mistyped URL, or one
that means harm. What is behind it may be a function, too."""

import http.client
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_S = 120.0
# Of one connection, or written anew.
_OF_THE_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class LostError(Exception):
    """The client gets no answer."""


PassOn = Callable[[], Answer]
Server = str | Callable[[Asked], Answer] | None
Fault = Callable[[PassOn], Answer]


def lost(_pass_on: PassOn) -> Answer:
    """It never reaches the server."""
    raise LostError


def unanswered(pass_on: PassOn) -> Answer:
    """Done, but the answer is lost."""
    pass_on()
    raise LostError


def doubled(pass_on: PassOn) -> Answer:
    """It reaches the server twice."""
    pass_on()
    return pass_on()


def instead(answer: Answer) -> Fault:
    """Somebody between answers it, and the server never hears of it."""
    return lambda _pass_on: answer


def with_body(change: Callable[[bytes], bytes]) -> Fault:
    """The answer's body is another."""

    def altered(pass_on: PassOn) -> Answer:
        answer = pass_on()
        return replace(answer, body=change(answer.body))

    return altered


def after(act: Callable[[], object]) -> Fault:
    """Something happens first."""

    def later(pass_on: PassOn) -> Answer:
        act()
        return pass_on()

    return later


class Middleman:
    """Listens at `url`. `faults` maps a path to what happens to its next calls, one entry each, None being
    nothing; `answers` are those it gives itself, always; while it is `down`, nobody gets one."""

    def __init__(self, server: Server) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.faults: dict[str, list[Fault | None]] = defaultdict(list)
        self.answers: dict[str, Answer] = {}
        self.down = False
        self._server = server
        self._lock = threading.Lock()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        """Raises LostError."""
        with self._lock:
            self.asked.append(asked)
            waiting = self.faults[asked.path]
            fault = waiting.pop(0) if waiting else None
        if self.down:
            raise LostError
        if asked.path in self.answers:
            return self.answers[asked.path]
        return fault(lambda: self._passed_on(asked)) if fault else self._passed_on(asked)

    def _passed_on(self, asked: Asked) -> Answer:
        if self._server is None:
            return Answer(404, b"<html>")
        if not isinstance(self._server, str):
            return self._server(asked)
        place = urlsplit(self._server)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=_TIMEOUT_S)
        try:
            connection.putrequest(
                asked.method, asked.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body)
            got = connection.getresponse()
            headers = {name.lower(): value for name, value in got.getheaders()}
            return Answer(got.status, got.read(), headers)
        finally:
            connection.close()


@contextmanager
def middleman(server: Server = None) -> Iterator[Middleman]:
    """Stands before the server at that URL, or before what answers for one, while the block lasts."""
    found = Middleman(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            try:
                answer = found.answer(Asked(self.command, self.path, headers, body))
            except LostError:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name not in _OF_THE_HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    class Listening(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up on an endless answer is part of the tests."""

    with Listening(("127.0.0.1", 0), Handler) as listening:
        found.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found
        finally:
            listening.shutdown()
            thread.join()
