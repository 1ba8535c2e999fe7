"""The chain suite's laboratory over an authority of ours behind HTTP, which can be told to misbehave."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from tests.support.tsa import generated, issuer

from proof.core.clock import SystemClock
from proof.timestamps.anchors.tsa.belief import Trust
from proof.timestamps.anchors.tsa.service import TsaChain, TsaSettings
from proof.timestamps.anchors.tsa.wire import Exchange
from proof.timestamps.tsa.development import generate
from proof.timestamps.tsa.request import Failure, RejectedError, parse_request
from proof.timestamps.tsa.token import rejection

Answer = Callable[[bytes], tuple[int, bytes]]


def granted(query: bytes) -> tuple[int, bytes]:
    """What an authority should answer."""
    try:
        return 200, issuer().issue(parse_request(query), datetime.now(UTC))
    except RejectedError as rejected:
        return 200, rejection(rejected)


def refused(_query: bytes) -> tuple[int, bytes]:
    return 200, rejection(RejectedError(Failure.TIME_NOT_AVAILABLE, "the clock was \x1b[2Jset"))


class FakeAuthority:
    """An HTTP server whose answers a test chooses; `asked` counts them."""

    def __init__(self) -> None:
        self.answer: Answer = granted
        self.asked = 0
        self.redirected = 0
        self.dribble_s = 0.0
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/tsa"

    def start(self) -> None:
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["content-length"]))
                authority.asked += 1
                authority.redirected += self.path != "/tsa"
                status, body = authority.answer(query)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("location", "/elsewhere")
                self.end_headers()
                self._write(body)

            def _write(self, body: bytes) -> None:
                try:
                    for at in range(0, len(body), 64) if authority.dribble_s else ():
                        self.wfile.write(body[at : at + 64])
                        time.sleep(authority.dribble_s)
                    if not authority.dribble_s:
                        self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the client has had enough, which is its right

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def authority() -> Iterator[FakeAuthority]:
    found = FakeAuthority()
    try:
        yield found
    finally:
        found.stop()


class TsaLab:
    """A `ChainLab`. There are no blocks, no fees and no network that forgets: a token is verified once it
    is there, for good. `mine`, `reorganise` and `forget` therefore do nothing, nobody is too poor, and
    where others have a ceiling this authority refuses. The other network is another CA."""

    confirmations = 0

    def __init__(self, authority: FakeAuthority) -> None:
        self.authority = authority

    def chain(
        self,
        *,
        trust: Trust | None = None,
        policy: str | None = None,
        pause: timedelta = timedelta(0),
        timeout_s: float = 60.0,
    ) -> TsaChain:
        settings = TsaSettings(trust or ours(), policy, pause)
        return TsaChain(Exchange(self.authority.url, timeout_s), settings, SystemClock())

    def poor(self) -> TsaChain:
        return self.chain()

    def capped(self) -> TsaChain:
        self.authority.answer = refused
        return self.chain()

    def elsewhere(self) -> TsaChain:
        return self.chain(trust=theirs())

    def mine(self, blocks: int = 1) -> None:
        pass

    def reorganise(self, depth: int) -> None:
        pass

    def forget(self) -> None:
        pass

    def stop(self) -> None:
        self.authority.stop()

    def start(self) -> None:
        self.authority.start()


def ours() -> Trust:
    return Trust(x509.load_pem_x509_certificates(generated().chain)[1:])


def theirs() -> Trust:
    made = generate(SystemClock().now())
    return Trust(x509.load_pem_x509_certificates(made.chain)[1:])
