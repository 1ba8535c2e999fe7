"""A budget of bytes for each reply, counted where they arrive.

aiohttp bounds one head and one line, but not how many informational responses (RFC 9110, 15.2) come before
the reply, nor what surrounds a body. So the count stands before its parser: every byte of the connection
after TLS, whatever it means. And no reply has the event loop for long: a parser needs up to half a
microsecond for a byte chosen to cost, so what comes beyond a usual reply is parsed in slices, those of all
connections in turn, with pauses between.
"""

import asyncio
from collections import deque
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

# Most replies are no longer; such a reply is parsed at once.
_AT_ONCE_BYTES: Final = 4096
_SLICE_BYTES: Final = 4096
# All slices together have at most a quarter of the event loop's time, and a turn ends after the slice that
# used it up.
_TURN_S: Final = 0.001
_PAUSE_S: Final = 0.003
# A connection that brings more than its turns can parse is not read meanwhile.
_WAITING_BYTES: Final = 256 * 1024


class BudgetExceededError(aiohttp.ClientError):
    """A reply has more bytes than its budget; the connection is closed."""


class BudgetConnector(aiohttp.TCPConnector):
    """Connections on which a reply may have `budget_bytes`, its heads and all else included."""

    def __init__(self, budget_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._budget_bytes = budget_bytes
        self._turns = _Turns()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: Any,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> Connection:
        """A connection with a fresh budget, on which nothing has come that was not asked for."""
        while True:
            connection = await super().connect(req, traces, timeout)
            handler, transport = connection.protocol, connection.transport
            if handler is None or transport is None:
                connection.close()
                raise aiohttp.ServerDisconnectedError
            meter = transport.get_protocol()
            used = isinstance(meter, Meter)
            if not isinstance(meter, Meter):
                meter = Meter(handler, transport, self._turns)
                transport.set_protocol(meter)
            if not handler.should_close and not meter.waiting:
                meter.begin(self._budget_bytes)
                return connection
            connection.close()
            if not used:
                raise aiohttp.ServerDisconnectedError("it spoke before it was asked")


def meter_of(response: aiohttp.ClientResponse) -> "Meter | None":
    """What counts a reply that is being read; None once it has ended."""
    transport = None if response.connection is None else response.connection.transport
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Meter) else None


class Meter(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and passes on what the budget allows."""

    def __init__(
        self, handler: ResponseHandler, transport: asyncio.Transport, turns: "_Turns"
    ) -> None:
        self.waiting = bytearray()
        self.over = self.has_turn = False
        self.received_bytes = 0
        self._handler = handler
        self._transport = transport
        self._turns = turns
        self._budget_bytes = 0
        self._held = self._ended = self._lost = False
        self._error: Exception | None = None

    def begin(self, budget_bytes: int) -> None:
        """A request follows; its reply has this budget."""
        self._budget_bytes, self.received_bytes = budget_bytes, 0

    def data_received(self, data: bytes) -> None:
        if self.over:
            return
        left = self._budget_bytes - self.received_bytes
        self.received_bytes += len(data)
        if len(data) > left:
            self.over, data = True, data[:left]
            self._transport.pause_reading()
        elif self.received_bytes <= _AT_ONCE_BYTES and not self.waiting:
            self._handler.data_received(data)
            return
        self.waiting += data
        if len(self.waiting) > _WAITING_BYTES and not self._held:
            self._held = True
            self._transport.pause_reading()
        self._turns.add(self)

    def feed(self) -> bool:
        """Pass on a slice of what waits; whether more waits."""
        if self._handler.transport is None:
            # The caller closed the connection and needs no more of the reply.
            self.waiting.clear()
        elif self.waiting:
            piece = bytes(self.waiting[:_SLICE_BYTES])
            del self.waiting[:_SLICE_BYTES]
            self._handler.data_received(piece)
        if self.waiting:
            return True
        self._settle()
        return False

    def eof_received(self) -> None:
        self._ended = True
        if not self.waiting:
            self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._error = True, exc
        if self._handler.transport is None:
            self.waiting.clear()
        if not self.waiting:
            self._settle()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def _settle(self) -> None:
        """Nothing waits: what was put off until then."""
        if self._lost:
            error = BudgetExceededError("the reply is too long") if self.over else self._error
            if self._ended:
                self._handler.eof_received()
            # After whoever waits for the head has it, so that a status counts whatever follows it.
            asyncio.get_running_loop().call_soon(self._handler.connection_lost, error)
        elif self.over:
            # Not close(): that waits until the other side has read what we sent, which may be never.
            self._transport.abort()
        elif self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()


class _Turns:
    """Slices of all connections, each in its turn."""

    def __init__(self) -> None:
        self._meters: deque[Meter] = deque()
        self._planned: asyncio.Handle | None = None

    def add(self, meter: Meter) -> None:
        if not meter.has_turn:
            meter.has_turn = True
            self._meters.append(meter)
        if self._planned is None:
            self._planned = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _TURN_S
        try:
            while self._meters and loop.time() < until:
                meter = self._meters.popleft()
                meter.has_turn = meter.feed()
                if meter.has_turn:
                    self._meters.append(meter)
        finally:
            self._planned = loop.call_later(_PAUSE_S, self._run) if self._meters else None
