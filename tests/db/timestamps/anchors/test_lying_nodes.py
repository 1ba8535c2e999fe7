"""Nodes that answer in JSON-RPC, but not as nodes of their chain do: told in words, and survived."""

import json
import threading
from asyncio import gather
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.anchors import SCHEDULE, Anchorage, digest_of
from tests.support.anvil import CHAIN_ID, RICH_KEY
from tests.support.bitcoin_lab import CEILING

from proof.db import Database
from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc
from proof.timestamps.anchors.chain import Candidate, Chain, ChainError, answered
from proof.timestamps.anchors.ethereum.rpc import Rpc
from proof.timestamps.anchors.ethereum.service import EthereumChain, EthereumSettings
from proof.timestamps.anchors.ethereum.signer import Fees, load_signer
from proof.timestamps.anchors.overview import EnabledChain, overview
from proof.timestamps.types import Roots, SubmitStatus

ROOTS = Roots(bytes(range(32)), bytes(range(2, 34)))
LIES: tuple[Any, ...] = (
    None, {}, [], "x", 5, -1, True, "0x", "0xzz", {"hash": "zz"}, [None], ["x"], 10**400,
    {"confirmations": 9, "blockhash": 5, "blockHash": "zz", "blockNumber": "0x1"},
    {"confirmations": 9, "blockhash": "zz", "tx": [], "height": 1, "time": 1},
)  # fmt: skip
# What gets a liar past the first questions.
HONEST = {
    "getblockchaininfo": {
        "chain": "regtest",
        "initialblockdownload": False,
        "blocks": 5,
        "headers": 5,
        "verificationprogress": 1,
    },
    "eth_chainId": hex(CHAIN_ID),
    "eth_syncing": False,
}


class Liar:
    """Answers every question with `lie`, or with what it has in `honest` for it; those about
    `refused` with an error."""

    def __init__(self) -> None:
        self.lie: Any = None
        self.honest: dict[str, Any] = {}
        self.url = ""
        self.refused: str | None = None

    def answer(self, asked: Any) -> Any:
        if isinstance(asked, list):
            return [self.answer(item) for item in asked]
        if self.refused in asked["params"]:
            error = {"code": -32000, "message": f"{self.refused} block not found"}
            return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        result = self.honest.get(asked["method"], self.lie)
        return {"jsonrpc": "2.0", "id": asked["id"], "result": result, "error": None}


@pytest.fixture
def liar() -> Iterator[Liar]:
    found = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(found.answer(asked)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def bitcoin(liar: Liar, folder: Path) -> tuple[Chain, Candidate]:
    rpc = BitcoinRpc(liar.url, "w", private(folder / "cookie", "user:password"))
    raw = b"\x02" + bytes(60)
    return BitcoinChain(rpc, "regtest", 3, CEILING), Candidate("aa" * 32, raw, 100)


def ethereum(liar: Liar, folder: Path) -> tuple[Chain, Candidate]:
    signer = load_signer(private(folder / "key", RICH_KEY), CHAIN_ID)
    chain = EthereumChain(Rpc(liar.url), signer, EthereumSettings(10**11, 3))
    return chain, signer.candidate(ROOTS.joined, 0, Fees(10**9, 1), 23_560)


@pytest.mark.parametrize("made", [bitcoin, ethereum])
async def test_a_lie_is_trouble_of_the_chain_and_nothing_else(
    liar: Liar, tmp_path: Path, made: Callable[[Liar, Path], tuple[Chain, Candidate]]
) -> None:
    chain, candidate = made(liar, tmp_path)

    async def scene() -> None:
        calls = (
            chain.standing(),
            chain.build(ROOTS, []),
            chain.build(ROOTS, [candidate]),
            chain.poll([candidate]),
            chain.evidence(ROOTS, candidate),
        )
        for result in await gather(*map(answered, calls), return_exceptions=True):
            if isinstance(result, BaseException):
                assert isinstance(result, ChainError), (liar.lie, result)
                told.append(result.message)

    told: list[str] = []
    for liar.honest in ({}, HONEST):
        for liar.lie in LIES:
            await scene()
    await chain.close()
    assert not any(liar.url in message for message in told)
    assert len(told) > 5 * len(LIES)


async def test_the_operator_reads_of_it_and_the_tree_waits(
    database: Database, liar: Liar, tmp_path: Path
) -> None:
    chain, _ = bitcoin(liar, tmp_path)
    liar.lie = {"pruned": True}
    anchorage = Anchorage(database, tmp_path, chain)

    await anchorage.start()
    digest = digest_of("told by a liar")
    await anchorage.submit(digest)
    await anchorage.turn()
    assert await anchorage.status(digest) is SubmitStatus.UNSUBMITTED
    assert "answers in a form that is not known" in (await anchorage.trouble() or "")
    shown = await overview(database, EnabledChain("production", chain, SCHEDULE))
    assert shown.standing is None
    assert "answers in a form that is not known" in (shown.trouble or "")
    await anchorage.stop()
    await chain.close()


async def test_a_node_that_has_finalized_nothing_yet_still_counts_blocks(
    liar: Liar, tmp_path: Path
) -> None:
    chain, candidate = ethereum(liar, tmp_path)
    block = {"hash": "0x" + "ab" * 32, "number": "0x5"}
    liar.honest = HONEST | {
        "eth_getTransactionReceipt": {"blockHash": block["hash"], "blockNumber": "0x5"},
        "eth_getBlockByNumber": block,
        "eth_blockNumber": "0x7",
    }
    liar.refused = "finalized"

    seen = await chain.poll([candidate])
    assert (seen.status, seen.settled) == (SubmitStatus.VERIFIED, False)
    await chain.close()


async def test_a_receipt_of_no_block_is_of_a_transaction_that_waits(
    liar: Liar, tmp_path: Path
) -> None:
    """Some nodes answer so while a transaction is in their pool."""
    chain, candidate = ethereum(liar, tmp_path)
    liar.honest = HONEST | {
        "eth_getTransactionReceipt": {"blockHash": None, "blockNumber": None},
        "eth_getTransactionByHash": {"hash": candidate.transaction},
    }

    seen = await chain.poll([candidate])
    assert (seen.status, seen.candidate) == (SubmitStatus.SUBMITTED, candidate)
    await chain.close()


async def test_what_a_node_says_of_the_wallet_is_told_as_it_is(liar: Liar, tmp_path: Path) -> None:
    chain, _ = ethereum(liar, tmp_path)
    liar.honest = HONEST | {
        "eth_blockNumber": "0x7",
        "eth_getBalance": hex(10**18),
        "eth_getBlockByNumber": {"baseFeePerGas": hex(10**9)},
        "eth_maxPriorityFeePerGas": hex(10**8),
    }
    cost = 23_560 * (2 * 10**9 + 10**8)

    seen = await chain.standing()
    assert (seen.network, seen.height, seen.balance) == (f"chain {CHAIN_ID}", 7, 10**18)
    assert (seen.anchor_cost, seen.pays_for) == (cost, 10**18 // cost)
    await chain.close()


@pytest.mark.parametrize(("confirmations", "settled"), [(99, False), (100, True)])
async def test_a_block_as_deep_as_a_miners_reward_is_settled(
    liar: Liar, tmp_path: Path, confirmations: int, settled: bool
) -> None:
    chain, candidate = bitcoin(liar, tmp_path)
    found = {"confirmations": confirmations, "blockhash": "ab" * 32}
    liar.honest = HONEST | {"gettransaction": found}

    seen = await chain.poll([candidate])
    assert (seen.status, seen.settled) == (SubmitStatus.VERIFIED, settled)
    await chain.close()
