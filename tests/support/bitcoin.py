"""A regtest bitcoind of our own: started, asked, reorganised and killed by the tests."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.tools import bitcoind

WALLET = "anchors"
_START_S = 120.0
_POLL_S = 0.05
_MATURE = 101
_COMMON = (
    "-regtest",
    "-server",
    "-listen=0",
    "-dnsseed=0",
    "-fixedseeds=0",
    "-connect=0",
    "-natpmp=0",
    # The wallet must not put anything into the mempool that Proof did not.
    "-walletbroadcast=0",
    "-fallbackfee=0.00005",
    "-dbcache=4",
    "-maxmempool=5",
    "-par=1",
    "-rpcthreads=2",
    "-printtoconsole=0",
)


class RpcFaultError(Exception):
    """The node answered with an error."""


class Regtest:
    """A bitcoind in `folder`, with a wallet of spendable coins once `fund` was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> Path:
        return self.folder / "regtest" / ".cookie"

    def start(self, *options: str) -> None:
        """Start and wait until calls are answered."""
        self._process = subprocess.Popen(
            [
                *bitcoind.command(),
                f"-datadir={self.folder}",
                f"-rpcport={self.port}",
                *_COMMON,
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.call("getblockchaininfo")
                break
            except (OSError, RpcFaultError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
        stored = [item["name"] for item in self.call("listwalletdir")["wallets"]]
        if WALLET in stored and WALLET not in self.call("listwallets"):
            self.call("loadwallet", WALLET)

    def stop(self) -> None:
        """As SIGTERM does it: the mempool is written out."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self, *options: str) -> None:
        self.stop()
        self.start(*options)

    def fund(self) -> None:
        """Create the wallet and mine it coins."""
        self.call("createwallet", WALLET)
        self.mine(_MATURE)

    def own(self, coins: int) -> None:
        """Mine until the wallet can spend so many coins, whatever tests before have left of it."""
        while self.call("getbalance", wallet=WALLET) < coins:
            self.mine()

    def mine(self, blocks: int = 1) -> list[str]:
        found: list[str] = self.call("generatetoaddress", blocks, self.address())
        return found

    def mine_without_transactions(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.call("generateblock", self.address(), [])

    def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by one more, all without transactions: theirs wait again."""
        height = self.call("getblockcount")
        self.call("invalidateblock", self.call("getblockhash", height - depth + 1))
        self.mine_without_transactions(depth + 1)

    def address(self) -> str:
        if not hasattr(self, "_address"):
            self._address: str = self.call("getnewaddress", wallet=WALLET)
        return self._address

    def mempool(self) -> list[str]:
        found: list[str] = self.call("getrawmempool")
        return found

    def call(self, method: str, *params: object, wallet: str | None = None) -> Any:
        """The result of an RPC call. Raises RpcFaultError, or OSError when nothing answers."""
        path = f"/wallet/{wallet}" if wallet else "/"
        request = urllib.request.Request(
            self.url + path,
            json.dumps({"method": method, "params": params}, default=str).encode(),
            {"authorization": "Basic " + b64encode(self.cookie.read_bytes()).decode()},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer, parse_float=Decimal)["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise RpcFaultError(error.read().decode()) from None

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_S)
            self._process = None


@contextmanager
def regtest(folder: Path) -> Iterator[Regtest]:
    """A started and funded node, ended afterwards."""
    node = Regtest(folder)
    try:
        node.start()
        node.fund()
        yield node
    finally:
        node.kill()
