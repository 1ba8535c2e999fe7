"""A server on loopback that means harm to whoever calls it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

# What the two kernels may hold between the server's last write and the client's last read.
BUFFERED_BYTES = 16 << 20
_BLOCK_BYTES = 16 * 1024


class Hostile:
    """A server that answers any request with `pieces`, and counts what it could send."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], tls: ssl.SSLContext | None) -> None:
        self._pieces = pieces
        self._tls = tls
        self.sent_bytes = 0
        self.hung_up = threading.Event()
        self.closing = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port = self._listening.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                accept, _ = self._listening.accept()
                thread = threading.Thread(target=self._answer, args=(accept,))
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _answer(self, item: socket.socket) -> None:
        item.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        with suppress(OSError):
            talk = self._tls.wrap_socket(item, server_side=True) if self._tls else item
            with item, talk:
                talk.recv(65536)
                for piece in self._pieces():
                    talk.sendall(piece)
                    self.sent_bytes += len(piece)
        self.hung_up.set()


@contextmanager
def hostile(
    pieces: Callable[[], Iterator[bytes]], tls: ssl.SSLContext | None = None
) -> Iterator[Hostile]:
    server = Hostile(pieces, tls)
    accepting = threading.Thread(target=server.accept)
    accepting.start()
    try:
        yield server
    finally:
        server.close()
        accepting.join()


def endless(first: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    block = again * (_BLOCK_BYTES // len(again) + 1)
    return lambda: chain([first], repeat(block))
