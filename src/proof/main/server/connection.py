"""One HTTP connection, within bounds that the server library leaves open.

Strangers reach this code before any gate: what a request's head may be, how long a request may take
to arrive, and what becomes of an Upgrade, are decided here.

Only a well-formed opening of a WebSocket at `/ws` changes a connection's protocol. After any Upgrade the
parser takes what follows for the new protocol, while a proxy in front takes it for this request's body or
the next request: then a body could pose as a request. So an Upgrade that clients send as a matter of
course (`h2c`, and a `websocket` that is none of ours) is taken out of the head, which is then parsed once
more, since RFC 9110, section 7.8 lets a server ignore it; that request is the connection's last. Every
other Upgrade is refused.
"""

import binascii
from asyncio import TimerHandle, Transport
from collections import Counter
from enum import Enum, auto
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_TOO_LONG = f"the request's head is over {MAX_HEAD_BYTES} bytes"
# Of each field: a colon, a space, carriage return and line feed.
_LINE_BYTES = 4
# Deadlines of a silent connection and of an incomplete request.
SILENCE_S = 15.0
ARRIVAL_S = 60.0

# The WebSocket library's parser has a limit for each line and fails on such requests, unanswered.
_MAX_LINE_BYTES = 8_000
_WEBSOCKET_PATH = b"/ws"
_IGNORED = (b"h2c", b"websocket")
_NOT_FOR_US = (b"connection", b"upgrade", b"http2-settings", b"keep-alive", b"proxy-connection")
# We offer neither, and an offer the library cannot read would be refused before the gate.
_OFFERS = (b"sec-websocket-extensions", b"sec-websocket-protocol")
_BODY = (b"content-length", b"transfer-encoding")
_ONCE = (
    b"upgrade",
    b"connection",
    b"host",
    b"origin",
    b"sec-websocket-key",
    b"sec-websocket-version",
)


class _Upgrade(Enum):
    """What becomes of the Upgrade of the request that is being parsed."""

    NONE = auto()
    WEBSOCKET = auto()
    IGNORED = auto()


class _RefusedHeadError(ValueError):
    """Ends the parsing; the message is for the caller."""


class BoundedConnection(HttpToolsProtocol):
    """Refuses oversized heads and most upgrades with 400, and closes what stays silent or unfinished."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arriving = False
        self._in_head = False
        # Bytes of the head: those parsed, and those of reads that did not complete it.
        self._head_bytes = self._unended_bytes = 0
        # Whether the request that arrives has its deadline, in place of the silent connection's.
        self._timed = False
        self._refusal = "the request is not HTTP"
        self._change = _Upgrade.NONE
        # Whether this connection's last request has begun, and whether it is complete.
        self._last = False
        self._deaf = False
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as upstream
        super().connection_made(transport)
        self._deadline = self.loop.call_later(SILENCE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lift_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._change is _Upgrade.WEBSOCKET:
            return
        if self._in_head and not self.transport.is_closing():
            # The parser keeps a line to itself until its end, however long it is.
            self._unended_bytes += len(data)
            if self._unended_bytes > MAX_HEAD_BYTES:
                self._refusal = _TOO_LONG
                self.send_400_response(_TOO_LONG)
        # A request that arrived whole, as most do, needs no timer.
        if not self._arriving:
            self._lift_deadline()
        elif not self._timed and not self.transport.is_closing():
            self._lift_deadline()
            self._timed = True
            self._deadline = self.loop.call_later(ARRIVAL_S, self._give_up)

    def on_message_begin(self) -> None:
        self._arriving = self._in_head = True
        self._timed = False
        self._head_bytes = self._unended_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + _LINE_BYTES)
        if len(self.headers) > MAX_HEADERS:
            self._refuse(f"the request has more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._change = self._judged() if self.parser.should_upgrade() else _Upgrade.NONE
        if self._change is _Upgrade.NONE:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arriving = self._timed = False
        if self._change is _Upgrade.NONE:
            self._deaf = self._last
            super().on_message_complete()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._change is _Upgrade.WEBSOCKET:
                self._open_websocket()
            else:
                self._parse_plainly(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            # Bytes after the last request are no part of it, and its answer is still to come.
            if not self._deaf:
                self.send_400_response("")

    def _judged(self) -> _Upgrade:
        """Raises _RefusedHeadError."""
        values = dict(self.headers)
        counted = Counter(name for name, _ in self.headers)
        protocol = values.get(b"upgrade", b"").strip().lower()
        if (
            self.parser.get_method() == b"CONNECT"
            or protocol not in _IGNORED
            or counted[b"upgrade"] > 1
        ):
            self._refuse("connections are not upgraded here; send the request without Upgrade")
        opens = (
            protocol == b"websocket"
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.url.isascii()
            and self.url.partition(b"?")[0].endswith(_WEBSOCKET_PATH)
            and not any(name in values for name in _BODY)
            and all(counted[name] <= 1 for name in _ONCE)
            and values.get(b"sec-websocket-version", b"").strip() == b"13"
            and _is_key(values.get(b"sec-websocket-key", b"").strip())
            and all(len(name) + len(value) < _MAX_LINE_BYTES for name, value in self.headers)
            and len(self.url) < _MAX_LINE_BYTES
            # An answer to the request before it would come after the change.
            and not self._unanswered()
        )
        return _Upgrade.WEBSOCKET if opens else _Upgrade.IGNORED

    def _unanswered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _parse_plainly(self, rest: bytes) -> None:
        """Parse the request without its Upgrade: what follows is its body, as long as its head says."""
        self._last = True
        method = self.parser.get_method()
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _NOT_FOR_US]
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"\r\n".join([*lines, b"connection: close", b"", rest]))

    def _open_websocket(self) -> None:
        self._lift_deadline()
        self.scope["method"] = "GET"
        ours = (*_NOT_FOR_US, *_OFFERS)
        kept = [header for header in self.headers if header[0] not in ours]
        self.scope["headers"] = [*kept, (b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        self.handle_websocket_upgrade()
        # The parser and this object hold each other, for as long as the WebSocket is open.
        self.parser = None  # type: ignore[assignment] # as upstream when the connection is lost

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says what is wrong
        body = msgspec.json.encode({"message": self._refusal})
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"x-content-type-options: nosniff\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()

    def _count(self, head_bytes: int) -> None:
        self._head_bytes += head_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_TOO_LONG)

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


def _is_key(value: bytes) -> bool:
    """Whether a Sec-WebSocket-Key is 16 bytes in base64 (RFC 6455, section 4.1)."""
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == 16
    except binascii.Error:
        return False
