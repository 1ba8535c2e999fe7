"""A witness on loopback whose clock, answers and memory a test may spoil; otherwise it keeps the rules."""

import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from proof.core.note_keys import SigningKey
from proof.verify import RefusedError, verify_checkpoint, verify_consistency
from proof.verify.evidence.log.checkpoint import CheckpointBody, parse_checkpoint_body
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    MLDSA_COSIGNER_KEY,
    VerifierKey,
    parse_note,
)
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Reply:
    """`raw`: bytes that are sent as they stand, instead of a response; the connection then ends."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class FakeWitness:
    """`fault` may answer instead of the rules, given the request's body (empty for GET) and what the rules
    would answer. While `gate` is not set, no answer leaves."""

    def __init__(self, name: str, log_key: VerifierKey, types: Sequence[int]) -> None:
        self.name = name
        self.log_key = log_key
        self.keys = [SigningKey.generate(name, key_type) for key_type in types]
        self.url = ""
        self.size = 0
        self.root = EMPTY_ROOT
        self.note = b""
        self.clock_s = 0
        self.shows = True
        self.fault: Callable[[bytes, Reply], Reply] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)
        self.bodies: list[bytes] = []
        self._lock = threading.Lock()

    def lines(self, label: str, url: str | None = None) -> str:
        """Its lines in a policy file: a group of that label, of one witness for each key."""
        keys = [
            f"witness {label}-{n} {key.text} {url or self.url}\n" for n, key in enumerate(self.keys)
        ]
        members = " ".join(f"{label}-{n}" for n in range(len(self.keys)))
        return f"{''.join(keys)}group {label} all {members}\n"

    def forget(self, size: int, root: bytes) -> None:
        """Go back to an older memory."""
        self.size, self.root = size, root

    def answer(self, path: str, body: bytes) -> Reply:
        with self._lock:
            reply = self._checkpoint(path) if not body else self._add(path, body)
        return reply if self.fault is None else self.fault(body, reply)

    def _checkpoint(self, path: str) -> Reply:
        expected = f"/{sha256(self.log_key.name.encode()).hexdigest()}/checkpoint"
        if path != expected or not self.note or not self.shows:
            return Reply(404)
        return Reply(200, self.note)

    def _add(self, path: str, body: bytes) -> Reply:
        if path != "/add-checkpoint":
            return Reply(404)
        self.bodies.append(body)
        head, _, note = body.partition(b"\n\n")
        first, *proof = head.decode().split("\n")
        old = int(first.removeprefix("old "))
        if verify_checkpoint(note, [self.log_key]).log_key is None:
            return Reply(404)
        offered = parse_checkpoint_body(parse_note(note).body)
        if old > offered.size:
            return Reply(400)
        if old != self.size:
            return Reply(409, b"%d\n" % self.size, {"content-type": "text/x.tlog.size"})
        return self._cosigned(old, list(map(b64decode, proof)), offered, note)

    def _cosigned(
        self, old: int, proof: list[bytes], offered: CheckpointBody, note: bytes
    ) -> Reply:
        try:
            verify_consistency(old, self.root, offered.size, offered.root, proof)
        except RefusedError:
            return Reply(422)
        at = int(time.time()) + self.clock_s
        body = parse_note(note).body
        lines = b"".join(key.cosign(body, at) for key in self.keys)
        self.size, self.root, self.note = offered.size, offered.root, note + lines
        return Reply(200, lines)


@contextmanager
def fake_witness(
    name: str,
    log_key: VerifierKey,
    types: Sequence[int] = (COSIGNER_KEY, MLDSA_COSIGNER_KEY),
) -> Iterator[FakeWitness]:
    """A witness that listens while the block lasts and trusts one log."""
    witness = FakeWitness(name, log_key, types)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["content-length"])))

        def do_GET(self) -> None:
            self._reply(b"")

        def _reply(self, body: bytes) -> None:
            witness.asked.release()
            witness.gate.wait()
            reply = witness.answer(self.path, body)
            with suppress(OSError):
                if reply.raw is not None:
                    self.wfile.write(reply.raw)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for header, value in reply.headers.items():
                    self.send_header(header, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        witness.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield witness
        finally:
            witness.gate.set()
            server.shutdown()
            thread.join()
