"""A bitcoind as far as headers go, on loopback: JSON-RPC, single calls and batches, with faults."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AUTHORIZATION = "Basic dXNlcjpzM2NyZXQ="  # user:s3cret


class FakeNode:
    """`headers` may be changed between calls. `fail_from`: heights from here on are refused."""

    def __init__(self, headers: list[bytes], chain: str = "regtest") -> None:
        self.headers = headers
        self.chain = chain
        self.fail_from: int | None = None
        self.raw_answer: bytes | None = None
        self.calls = 0
        self.url = ""

    def answer(self, body: Any) -> Any:
        if isinstance(body, list):
            return [self._one(call) for call in body]
        return self._one(body)

    def _one(self, call: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        try:
            found = getattr(self, "_" + call["method"])(*call["params"])
        except LookupError:
            error = {"code": -8, "message": "Block height out of range"}
            return {"result": None, "error": error, "id": call["id"]}
        return {"result": found, "error": None, "id": call["id"]}

    def _getblockchaininfo(self) -> dict[str, Any]:
        return {"chain": self.chain}

    def _getblockcount(self) -> int:
        return len(self.headers) - 1

    def _getblockhash(self, height: int) -> str:
        if self.fail_from is not None and height >= self.fail_from:
            raise LookupError
        return _hash(self.headers[height])

    def _getblockheader(self, digest: str, verbose: bool = True) -> Any:
        hashes = [_hash(header) for header in self.headers]
        if digest not in hashes:
            raise LookupError
        header = self.headers[hashes.index(digest)]
        if not verbose:
            return header.hex()
        return {
            "hash": digest,
            "merkleroot": header[36:68][::-1].hex(),
            "time": int.from_bytes(header[68:72], "little"),
            "height": hashes.index(digest),
        }


def _hash(header: bytes) -> str:
    return sha256(sha256(header).digest()).digest()[::-1].hex()


@contextmanager
def fake_node(headers: list[bytes], chain: str = "regtest") -> Iterator[FakeNode]:
    """A node that listens while the block lasts and wants the credentials `user:s3cret`."""
    node = FakeNode(headers, chain)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one segment: no waiting for an acknowledgement

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            allowed = self.headers.get("authorization") == AUTHORIZATION
            raw = node.raw_answer
            if raw is None:
                raw = json.dumps(node.answer(json.loads(body))).encode() if allowed else b""
            self.send_response(200 if allowed else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        node.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield node
        finally:
            server.shutdown()
            thread.join()
