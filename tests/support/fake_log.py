"""A log of somebody else's on a static web server, naive and with faults."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.signer import LOG, ORIGIN, TIME_S, WITNESS, Signer, log_root

from proof.verify.evidence.log import note
from proof.verify.evidence.log.rfc6962 import leaf_hash

Fault = Callable[["Handler"], None]


def entry(number: int, history: str = "") -> bytes:
    """As different in length as entries of other logs are."""
    return f"{history}entry {number} {'x' * (number % 7)}".encode()


def some(count: int, history: str = "") -> list[bytes]:
    return [entry(number, history) for number in range(count)]


def checkpoint(
    entries: Sequence[bytes],
    signers: Sequence[Signer] = (LOG, WITNESS),
    time_s: int = TIME_S,
    origin: str = ORIGIN,
) -> bytes:
    body = note.checkpoint_body(
        origin, len(entries), log_root([leaf_hash(each) for each in entries])
    )
    return note.signed_note(body, [signer.line(body, time_s) for signer in signers])


def log_files(
    entries: Sequence[bytes],
    signers: Sequence[Signer] = (LOG, WITNESS),
    time_s: int = TIME_S,
    origin: str = ORIGIN,
) -> dict[str, bytes]:
    """Every file of a log of these entries, by its path."""
    return dict(_files(tuple(entries), tuple(signers), time_s, origin))


@cache  # tests ask for the same logs hundreds of times
def _files(
    entries: tuple[bytes, ...], signers: tuple[Signer, ...], time_s: int, origin: str
) -> dict[str, bytes]:
    files = {"checkpoint": checkpoint(entries, signers, time_s, origin)}
    for position in range(-(-len(entries) // 256)):
        part = entries[256 * position : 256 * position + 256]
        raw = b"".join(len(each).to_bytes(2, "big") + each for each in part)
        files[f"tile/entries/{_position(position, len(part))}"] = raw
    level, hashes = 0, [leaf_hash(each) for each in entries]
    while hashes:
        parts = [hashes[start : start + 256] for start in range(0, len(hashes), 256)]
        for position, nodes in enumerate(parts):
            files[f"tile/{level}/{_position(position, len(nodes))}"] = b"".join(nodes)
        level, hashes = level + 1, [log_root(part) for part in parts if len(part) == 256]
    return files


def _position(position: int, width: int) -> str:
    assert position < 1000, "tests have small logs"
    return f"{position:03}" + ("" if width == 256 else f".p/{width}")


@dataclass
class StaticServer:
    """Serves `files` at `url`, except where `faults` names a path; `asked` are the paths so far."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    static: StaticServer

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.static.asked.append(path)
        if path in self.static.faults:
            with suppress(OSError):
                self.static.faults[path](self)
            return
        body = self.static.files.get(path)
        self.answer(404 if body is None else 200, body or b"")

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_values: object) -> None:
        """Nothing is printed."""


def status(number: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(number, b"no", named)


def in_turn(*faults: Fault | None) -> Fault:
    """Each once; None answers as if nothing were wrong, and so does what comes after the last."""
    waiting = list(faults)

    def fault(handler: Handler) -> None:
        if waiting and (now := waiting.pop(0)) is not None:
            now(handler)
            return
        body = handler.static.files.get(handler.path.lstrip("/"))
        handler.answer(404 if body is None else 200, body or b"")

    return fault


def encoded(body: bytes, encoding: str) -> Fault:
    return lambda handler: handler.answer(200, body, {"content-encoding": encoding})


def endless(handler: Handler) -> None:
    """Bytes without end."""
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    while not handler.static.closing.is_set():
        handler.wfile.write(b"x" * 65536)


def dripping(handler: Handler) -> None:
    """A byte now and then, for as long as the other side listens."""
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    while not handler.static.closing.wait(0.01):
        handler.wfile.write(b"x")


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_values: object) -> None:
        """Whoever asked has hung up."""


@contextmanager
def static_server(files: dict[str, bytes] | None = None) -> Iterator[StaticServer]:
    static = StaticServer("", files or {})
    kind = type("Bound", (Handler,), {"static": static})
    with _Server(("127.0.0.1", 0), kind) as server:
        static.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield static
        finally:
            static.closing.set()
            server.shutdown()
            serving.join()
