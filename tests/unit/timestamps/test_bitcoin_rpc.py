"""The calls to a bitcoind: bounded, never following, and silent about credentials."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.bitcoin_lab import CEILING

from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc, RpcError
from proof.timestamps.anchors.bitcoin.wallet import _not_bumped, satoshi
from proof.timestamps.anchors.chain import (
    ChainError,
    NodeDownError,
    NodeSyncingError,
    TransactionRefusedError,
    WalletError,
)
from proof.timestamps.types import Roots

Run = Callable[[Awaitable[Any]], Any]
SECRET = "hunter2secret"
OK = b'{"result": 1, "error": null, "id": 0}'


class ScriptedNode:
    """Answers each request with the next reply; the last one again and again."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.heads: list[str] = []
        self.bodies: list[Any] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        self.heads.append(head)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        try:
            writer.write(reply)
            await writer.drain()
            if reply:
                writer.close()
                await writer.wait_closed()
            else:
                await reader.read()
        except OSError:
            pass
        finally:
            writer.close()


def http(body: bytes, status: int = 200, *lines: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


def error(code: int, message: str = "no") -> bytes:
    body = {"result": None, "error": {"code": code, "message": message}, "id": 0}
    return http(json.dumps(body).encode(), 500)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "cookie"
    path.touch(0o600)
    path.write_text(f"__cookie__:{SECRET}\n")
    return path


@asynccontextmanager
async def asking(node: ScriptedNode, credentials: Path, **limits: Any) -> AsyncIterator[BitcoinRpc]:
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rpc = BitcoinRpc(f"http://127.0.0.1:{port}", "anchors", credentials, **limits)
    try:
        yield rpc
    finally:
        await rpc.close()
        server.close()


async def refusal(node: ScriptedNode, credentials: Path, **limits: Any) -> ChainError:
    """What a call ends with; nothing of it holds the secret or the address."""
    async with asking(node, credentials, **limits) as rpc:
        with pytest.raises(ChainError) as caught:
            await rpc.node("getblockchaininfo")
        text = "".join(traceback.format_exception(caught.value)) + repr(rpc)
    assert SECRET not in text
    assert "127.0.0.1" not in caught.value.message
    return caught.value


def test_a_wallet_is_known_by_its_node_and_name_and_the_address_is_not_told() -> None:
    def name(url: str, wallet: str = "anchors") -> str:
        return BitcoinRpc(url, wallet, Path("cookie")).wallet_name

    here = name("http://127.0.0.1:8332")
    assert name("http://localhost:8332/") == name("http://[::1]:8332") == here
    others = [
        name("http://127.0.0.1:8333"),
        name("http://127.0.0.1:8332/secret-key"),
        name("http://node.example:8332"),
        name("http://127.0.0.1:8332", "anchors 2"),
    ]
    assert len({here, *others}) == 5
    assert not any("secret-key" in each or "8332" in each for each in others)


async def test_a_call_and_its_result(credentials: Path) -> None:
    node = ScriptedNode(http(b'{"result": {"fee": 0.10000001}, "error": null, "id": 0}'))
    async with asking(node, credentials) as rpc:
        found = await rpc.wallet("send", 1, "two")
    assert str(found["fee"]) == "0.10000001"
    assert node.heads[0].startswith("POST /wallet/anchors HTTP/1.1")
    asked = {"jsonrpc": "1.0", "id": 0, "method": "send", "params": [1, "two"]}
    assert node.bodies == [asked]


@pytest.mark.parametrize(
    ("bitcoin", "expected"),
    [("0.00000001", 1), ("0.000000019", 1), ("20999999.9769", 2_099_999_997_690_000), ("1", 10**8)],
)
def test_amounts_are_whole_satoshi(bitcoin: str, expected: int) -> None:
    assert satoshi(Decimal(bitcoin)) == expected


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (-6, "no", WalletError),
        (-4, "Insufficient funds", WalletError),
        (-8, "Transaction has descendants in the wallet", TransactionRefusedError),
    ],
)
def test_a_fee_that_cannot_be_raised_for_want_of_coins_says_so(
    code: int, reason: str, expected: type[ChainError]
) -> None:
    error = _not_bumped(RpcError("psbtbumpfee", code, reason))
    assert type(error) is expected
    assert reason in error.message


async def test_an_answer_of_exactly_the_limit_is_read(credentials: Path) -> None:
    body = OK + b" " * (1000 - len(OK))
    async with asking(ScriptedNode(http(body)), credentials, max_answer_bytes=1000) as rpc:
        assert await rpc.node("getblockchaininfo") == 1


NO_NODES = {
    "a redirect": http(b"", 302, "location: http://127.0.0.1:1/"),
    "a page": http(b"<html>hello</html>"),
    "no object": http(b"[]"),
    "no error member": http(b'{"result": 1}'),
    "deep nesting": http(b"[" * 100_000),
    "half an answer": http(OK)[:-5],
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n",
}


@pytest.mark.parametrize("reply", NO_NODES.values(), ids=NO_NODES)
def test_what_is_no_node_is_down(run: Run, credentials: Path, reply: bytes) -> None:
    node = ScriptedNode(reply)
    assert isinstance(run(refusal(node, credentials)), NodeDownError)
    assert len(node.heads) == 1, "nothing was followed"


def test_an_answer_that_does_not_end_is_cut(run: Run, credentials: Path) -> None:
    node = ScriptedNode(http(b" " * 5_000))
    assert "over 1000 bytes" in run(refusal(node, credentials, max_answer_bytes=1000)).message
    silent = ScriptedNode(b"")
    assert "within 0.2 s" in run(refusal(silent, credentials, timeout_s=0.2)).message


def test_a_starting_node_is_waited_for(run: Run, credentials: Path) -> None:
    found = run(refusal(ScriptedNode(error(-28, "Loading block index…")), credentials))
    assert isinstance(found, NodeSyncingError)
    assert "Loading block index" in found.message


def test_an_error_keeps_its_code(run: Run, credentials: Path) -> None:
    found = run(refusal(ScriptedNode(error(-5, "unknown")), credentials))
    assert isinstance(found, RpcError)
    assert (found.rpc_code, found.reason) == (-5, "unknown")


async def test_a_restarted_nodes_cookie_is_read_again(credentials: Path) -> None:
    node = ScriptedNode(http(OK), http(b"", 401), http(OK))
    async with asking(node, credentials) as rpc:
        await rpc.node("uptime")
        credentials.write_text("__cookie__:another")  # noqa: ASYNC240 - a small local file
        assert await rpc.node("uptime") == 1
    sent = [head.partition("authorization: ")[2].split("\r\n")[0] for head in node.heads]
    assert sent[0] == sent[1] != sent[2]


def test_credentials_that_are_not_accepted(run: Run, credentials: Path) -> None:
    node = ScriptedNode(http(b"", 401))
    assert "does not accept the credentials" in run(refusal(node, credentials)).message
    assert len(node.heads) == 1


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (f"user:{SECRET}", 0o640, "chmod 600"),
        (SECRET, 0o600, "user:password"),
        (f"user:{SECRET}\r\nx: y", 0o600, "user:password"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_credentials_that_cannot_be_used(
    run: Run, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "credentials"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    node = ScriptedNode(http(OK))
    assert said in run(refusal(node, path)).message
    assert node.heads == []


async def test_a_wallet_is_loaded_or_said_to_be_missing(credentials: Path) -> None:
    node = ScriptedNode(error(-18), http(OK), http(OK))
    async with asking(node, credentials) as rpc:
        assert await rpc.wallet("getbalances") == 1
    assert [body["method"] for body in node.bodies] == [
        "getbalances",
        "loadwallet",
        "getbalances",
    ]
    for reply, said in (
        (error(-18, "not found"), "no wallet 'anchors'"),
        (error(-13), "locked"),
    ):
        async with asking(ScriptedNode(reply), credentials) as rpc:
            with pytest.raises(WalletError, match=said):
                await rpc.wallet("getbalances")


@pytest.mark.parametrize(("blocks", "headers", "downloading"), [(10, 13, False), (13, 13, True)])
async def test_a_node_that_catches_up_builds_nothing(
    credentials: Path, blocks: int, headers: int, downloading: bool
) -> None:
    info = {
        "chain": "main",
        "blocks": blocks,
        "headers": headers,
        "initialblockdownload": downloading,
        "verificationprogress": 0.5,
    }

    body = json.dumps({"result": info, "error": None, "id": 0}).encode()
    async with asking(ScriptedNode(http(body)), credentials) as rpc:
        chain = BitcoinChain(rpc, "main", 6, CEILING)
        for call in (chain.standing(), chain.build(Roots(bytes(32), bytes(32)), [])):
            with pytest.raises(NodeSyncingError, match=f"block {blocks} of {headers}"):
                await call
