"""A chain of one's own: Anvil on a free port, mined when the test says so."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.support.ports import free_port
from tests.support.tools import anvil

from proof.timestamps.anchors.ethereum.rpc import Rpc
from proof.timestamps.anchors.ethereum.service import EthereumChain, EthereumSettings
from proof.timestamps.anchors.ethereum.signer import load_signer

CHAIN_ID = 31337
GWEI = 10**9
# The first account of Anvil's published test phrase, rich at every start.
RICH_KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
POOR_KEY = "11" * 32
_GIVE_UP_S = 120.0


class Anvil:
    """A node that keeps its state while it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._folder / "anvil.log"
        where = ("--host", "127.0.0.1", "--port", str(self._port))
        state = ("--state", str(self._folder / "state.json"))
        with log.open("w") as said:
            self._process = subprocess.Popen(
                [*anvil.command(), *where, *state, "--no-mining"],
                cwd=self._folder,
                stdout=said,
                stderr=said,
            )
        _await_listening(self._process, self._port, log)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_GIVE_UP_S)

    def key_file(self, key: str = RICH_KEY) -> Path:
        path = self._folder / f"{key[:8]}.key"
        path.touch(0o600)
        path.write_text(key + "\n")
        return path

    def chain(
        self, *, key: str = RICH_KEY, ceiling: int = 100 * GWEI, confirmations: int | None = 3
    ) -> EthereumChain:
        """A chain over this node; whoever makes it closes it."""
        settings = EthereumSettings(ceiling, confirmations)
        return EthereumChain(Rpc(self.url), load_signer(self.key_file(key), CHAIN_ID), settings)

    def ask(self, method: str, *parameters: Any) -> Any:
        """One call of its JSON-RPC, Anvil's own methods included."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        request = urllib.request.Request(
            self.url, msgspec.json.encode(asked), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_GIVE_UP_S) as answer:
            answered = msgspec.json.decode(answer.read())
        assert "error" not in answered, (method, answered)
        return answered["result"]

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.ask("evm_mine")

    def forget(self) -> None:
        """Drop what waits."""
        self.ask("anvil_dropAllTransactions")

    def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by one more, empty ones; what was in them waits again."""
        newest = int(self.ask("eth_blockNumber"), 16)
        waiting = [
            self.ask("eth_getRawTransactionByHash", transaction)
            for number in range(newest - depth + 1, newest + 1)
            for transaction in self.ask("eth_getBlockByNumber", hex(number), False)["transactions"]
        ]
        self.ask("anvil_rollback", depth)
        self.forget()
        self.mine(depth + 1)
        for raw in waiting:
            self.ask("eth_sendRawTransaction", raw)


@contextmanager
def running(folder: Path) -> Iterator[Anvil]:
    """Anvil without automatic mining, ended by its own process id."""
    node = Anvil(folder)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def _await_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
