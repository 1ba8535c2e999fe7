"""A webhook receiver that costs as little as Python can: `python -m bench.sink PORT`.

Any POST is answered 200 at once, except to a path that begins with /dead: that one is never answered.
A body's first 20 digits, if it begins with them, are nanoseconds since 1970 UTC: the time from then
to its arrival is kept. `GET /` answers with these times in milliseconds as a JSON list and forgets them.
"""

import asyncio
import json
import sys
import time
from typing import cast

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_STAMP_DIGITS = 20

_ages_ms: list[float] = []


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            size = end + 4 + _length(received[:end])
            if len(received) < size:
                break
            self._answer(received[: end + 4], received[end + 4 : size])
            received = received[size:]
        self._received = received

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):
            text = json.dumps(_ages_ms).encode()
            _ages_ms.clear()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
            )
            return
        if head.startswith(b"POST /dead"):
            return
        stamp = body[:_STAMP_DIGITS]
        if len(stamp) == _STAMP_DIGITS and stamp.isdigit():
            _ages_ms.append((time.time_ns() - int(stamp)) / 1e6)
        self._transport.write(_OK)


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        _Connection, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
