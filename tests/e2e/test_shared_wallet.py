"""Both environments of a Proof with two workers, paid from one bitcoind wallet and one Ethereum key."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.anvil import CHAIN_ID, Anvil
from tests.support.anvil import running as anvil_running
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.served import Server, call, served

_GIVE_UP_S = 90.0
_VERIFIED = 3
_HASHES = 3
_TABLES = """
[{environment}.bitcoin]
url = "{bitcoin.url}"
wallet = "{wallet}"
network = "regtest"
credentials_file = "{bitcoin.cookie}"
every_s = 1
confirmations = 2

[{environment}.ethereum]
url = "{ethereum.url}"
key_file = "{key}"
chain_id = {chain_id}
every_s = 1
confirmations = 2
"""


class Place:
    """An environment with a partner's key for it."""

    def __init__(self, url: str, key: str, name: str) -> None:
        self._url = f"{url}/v1/timestamp"
        self._key = key
        self.digests = [
            sha256(b"%d in %s" % (n, name.encode())).hexdigest() for n in range(_HASHES)
        ]

    def submit(self, number: int) -> None:
        call(self._url, self._key, {"sha256": [self.digests[number]]})

    def trees(self) -> list[dict[str, Any]]:
        """The chains' trees of every hash."""
        found = {}
        for digest in self.digests:
            for tree in call(f"{self._url}/{digest}", self._key)["trees"]:
                found[tree["treeId"]] = tree
        return [tree for tree in found.values() if tree["currency"] != "LOG"]


class SecondWorker:
    """A `proof worker` beside the server's own, killed and started again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._start()

    def again(self) -> None:
        """Kill it once it works, and start another."""
        deadline = time.monotonic() + _GIVE_UP_S
        while not self._works():
            assert time.monotonic() < deadline, "the worker did not come up"
            time.sleep(0.1)
        self.kill()
        self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _works(self) -> bool:
        """Whether it handles SIGTERM, which it does before its loops begin."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proof", "worker"],
            env=self._server.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def url_of(arguments: dict[str, Any]) -> str:
    host = quote(arguments["host"], safe="")
    login = f"{arguments['user']}:{arguments['password']}"
    return f"postgresql://{login}@/{arguments['database']}?host={host}&port={arguments['port']}"


def in_blocks(bitcoin: Regtest, ethereum: Anvil) -> Iterator[tuple[str, str]]:
    """The chain and the root that a transaction of its blocks may carry, of all of them: a plain root comes
    after it."""
    for height in range(100, bitcoin.call("getblockcount") + 1):
        for item in bitcoin.call("getblock", bitcoin.call("getblockhash", height), 2)["tx"]:
            yield from (("BTC", output["scriptPubKey"]["hex"][4:68]) for output in item["vout"])
    for number in range(int(ethereum.ask("eth_blockNumber"), 16) + 1):
        for item in ethereum.ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
            yield "ETH", item["input"][2:66]


@pytest.mark.timeout(240)
def test_each_tree_of_both_environments_is_paid_once(
    tmp_path: Path, owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    with regtest(tmp_path / "bitcoin") as bitcoin, anvil_running(tmp_path) as ethereum:
        chains = tmp_path / "chains.toml"
        told = {"bitcoin": bitcoin, "ethereum": ethereum, "wallet": WALLET, "chain_id": CHAIN_ID}
        key = ethereum.key_file()
        chains.write_text(
            "".join(
                _TABLES.format(environment=each, key=key, **told)
                for each in ("production", "sandbox")
            )
        )
        settings = {
            "PROOF_CHAINS_FILE": str(chains),
            "PROOF_PROCESSES": "1",
            "PROOF_DATABASE_URL": url_of(database_arguments),
            "PROOF_DATABASE_OWNER_URL": url_of(owner_arguments),
        }
        with served(settings) as server:
            worker = SecondWorker(server)
            try:
                trees = anchored(server, worker, bitcoin, ethereum)
            finally:
                worker.kill()
        carried = list(in_blocks(bitcoin, ethereum))
        roots = [(tree["currency"], tree["rootSha256"]) for tree in trees]
        assert len(set(roots)) == len(roots) >= 4
        assert [carried.count(root) for root in roots] == [1] * len(roots)


def anchored(
    server: Server, worker: SecondWorker, bitcoin: Regtest, ethereum: Anvil
) -> list[dict[str, Any]]:
    """Hashes go to both environments while blocks come; their trees once all are verified."""
    partner = server.add_partner()
    places = [
        Place(server.url, partner["production"]["api_key"], "production"),
        Place(f"{server.url}/sandbox", partner["sandbox"]["api_key"], "sandbox"),
    ]
    deadline = time.monotonic() + _GIVE_UP_S
    for number in range(_HASHES):
        for place in places:
            place.submit(number)
        while not (bitcoin.mempool() and ethereum.ask("txpool_content")["pending"]):
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.1)
        # One at a time: the other environment's tree of the same wallet waits for the block.
        assert len(bitcoin.mempool()) == 1
        if number == 0:
            worker.again()
        bitcoin.mine()
        ethereum.mine()
    while True:
        trees = [tree for place in places for tree in place.trees()]
        if {tree["submitStatus"] for tree in trees} == {_VERIFIED}:
            return trees
        assert time.monotonic() < deadline, server.log()
        bitcoin.mine()
        ethereum.mine()
        time.sleep(0.3)
