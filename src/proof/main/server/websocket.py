"""One WebSocket, within bounds that the server library leaves open."""

import resource
import socket
from asyncio import BaseTransport, TimerHandle
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

# What may wait for one that does not read, in the kernel and here, and for how long. A message has some
# 300 bytes and a transaction a handful of them.
SEND_BUFFER_BYTES = 16 * 1024
STALLED_S = 10.0
# Messages of clients are ignored, so few and short ones are allowed.
MAX_MESSAGE_BYTES = 4 * 1024
# Frames of one message: empty frames do not count in its size.
MAX_FRAMES = 64
PING_EVERY_S = 20.0
PONG_WITHIN_S = 20.0
# Linux' default limit.
_MANY_FILES = 1_048_576


def places() -> int:
    """How many WebSockets this process may have open: three quarters of the files the system lets it have.

    The rest is for requests, the database and what is called.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 3 * (_MANY_FILES if files == resource.RLIM_INFINITY else files) // 4


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Drops who does not read: what is buffered for it goes with the connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stalled: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        bare = transport.get_extra_info("socket")
        if bare is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._drop_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._lift()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lift()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAMES:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        # Nothing is done with it, so it is not decoded: what is no UTF-8 would be logged, line by line.
        self.frames = []

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # Else each refusal would be logged as an application's that did not answer.
            self.handshake_complete = True

    def _drop_later(self) -> None:
        if self._stalled is None:
            # A close would wait until everything is sent, which is never.
            self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def _lift(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
