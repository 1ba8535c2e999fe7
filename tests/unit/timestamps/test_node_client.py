"""What a node or an authority may answer: much, but not without end."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.support.hostile import endless, hostile

from proof.timestamps.anchors.chain import NodeDownError
from proof.timestamps.anchors.node_client import NodeClient

MOST_BYTES = 1 << 20
# A sixteenth for the lines between chunks, and 64 KiB for heads and the rest.
BUDGET_BYTES = MOST_BYTES + MOST_BYTES // 16 + 64 * 1024
# A client that is sent much is given large buffers by the kernel, 6 MiB and more.
BUFFERED_BYTES = 16 << 20
# Nobody waits for it: a call that is ended by it has failed the test.
LONG_S = 120.0
BODY = bytes(range(256)) * (3 << 10)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def answer(url: str) -> tuple[int, bytes]:
    async def run() -> tuple[int, bytes]:
        client = NodeClient("the node", url, MOST_BYTES, LONG_S)
        try:
            return await client.post(b"{}", {})
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"a: b\r\n"),
        (CHUNKED + b"1;", b"a=b;"),
        (CHUNKED + b"0\r\n", b"a: b\r\n"),
        (OK + b"\r\n", b"x"),
    ],
    ids=["informational responses", "a head", "a chunk extension", "trailers", "a body"],
)
def test_an_endless_answer_ends_at_its_budget(first: bytes, again: bytes) -> None:
    with hostile(endless(first, again)) as node:
        with pytest.raises(NodeDownError) as error:
            answer(node.url)
        node.hung_up.wait()
    assert "within" not in error.value.message
    assert node.sent_bytes <= BUDGET_BYTES + BUFFERED_BYTES


def chunks() -> Iterator[bytes]:
    yield CHUNKED
    for start in range(0, len(BODY), 5_000):
        piece = BODY[start : start + 5_000]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        lambda: iter([OK + b"content-length: %d\r\n\r\n" % len(BODY), BODY]),
        lambda: iter([OK + b"\r\n", BODY]),
        chunks,
    ],
    ids=["length", "end", "chunks"],
)
def test_a_long_answer_comes_whole(pieces: object) -> None:
    """Far more than waits at a time: it is parsed in slices, and reading pauses meanwhile."""
    assert callable(pieces)
    with hostile(pieces) as node:
        assert answer(node.url) == (200, BODY)
