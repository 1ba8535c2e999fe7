"""A webhook receiver that means harm: `python -m bench.hostile PORT`.

The path says how a request is answered: with one of `ENDLESS`, sent as fast as it is read, or not at all.
On 127.0.0.77 port 53, where it may, it takes the questions of resolvers and answers none.
"""

import asyncio
import socket
import sys
from contextlib import suppress

NAME_SERVER = "127.0.0.77"

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"transfer-encoding: chunked\r\n\r\n"
_BLOCK_BYTES = 64 * 1024

ENDLESS = {
    "informational": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "head": (_OK, b"a: b\r\n"),
    "extension": (_CHUNKED + b"1;", b"a=b;"),
    "chunks": (_CHUNKED, b"1\r\nx\r\n"),
    "trailers": (_CHUNKED + b"0\r\n", b"a: b\r\n"),
    "body": (_OK + b"\r\n", b"x" * 64),
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split(b" ", 2)[1].strip(b"/").decode()
        if name not in ENDLESS:
            await reader.read()
        else:
            first, again = ENDLESS[name]
            writer.write(first)
            block = again * (_BLOCK_BYTES // len(again))
            while True:
                writer.write(block)
                await writer.drain()
    writer.close()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", port, backlog=1024)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as questions:
        # Whoever else measures on this machine answers none either.
        questions.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Only root may; who may not has no such attack.
        with suppress(PermissionError):
            questions.bind((NAME_SERVER, 53))
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
