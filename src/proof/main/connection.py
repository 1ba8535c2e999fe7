"""One HTTP connection, within bounds that the server library leaves open.

Strangers reach this code before any gate: what a request's head may be, how long a request may take
to arrive, and that a connection never changes its protocol, are decided here.
"""

from asyncio import TimerHandle, Transport
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
# A connection that says nothing, and a request that does not come to its end.
SILENCE_S = 15.0
ARRIVAL_S = 60.0


class _RefusedHeadError(ValueError):
    """Ends the parsing; the message is for the caller."""


class BoundedConnection(HttpToolsProtocol):
    """Refuses oversized heads and upgrades with 400, and closes what stays silent or unfinished."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arriving = False
        self._in_head = False
        self._head_bytes = 0
        self._refusal = "the request is not HTTP"
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as upstream
        super().connection_made(transport)
        self._deadline = self.loop.call_later(SILENCE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lift_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refusal = f"the request's head is over {MAX_HEAD_BYTES} bytes"
                self.send_400_response(self._refusal)
        # Whole requests, the ordinary case, cost no timer.
        if not self._arriving:
            self._lift_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(ARRIVAL_S, self._give_up)

    def on_message_begin(self) -> None:
        self._arriving = self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_HEAD_BYTES:
            self._refuse(f"the request's head is over {MAX_HEAD_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refuse(f"the request has more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            # The parser takes what follows for the new protocol or for the next request, while a proxy
            # in front takes it for this request's body: then a body could pose as a request.
            self._refuse("connections are not upgraded here; send the request without Upgrade")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arriving = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says what is wrong
        body = msgspec.json.encode({"message": self._refusal})
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()

    def _refuse(self, message: str) -> None:
        self._refusal = message
        raise _RefusedHeadError(message)

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _lift_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
