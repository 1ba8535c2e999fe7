"""`proof serve` and a real bitcoind: from the first answer to a proof that needs neither."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.served import Server, call, eventually

from proof.verify import verify_payload
from proof.verify.trust import ChainTrust

_CHAINS = """
[production.bitcoin]
url = "{url}"
wallet = "{wallet}"
network = "regtest"
credentials_file = "{cookie}"
every_s = 1
confirmations = 2
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Regtest]:
    with regtest(tmp_path / "node") as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, node: Regtest) -> Iterator[Server]:
    chains = tmp_path / "chains.toml"
    chains.write_text(_CHAINS.format(url=node.url, wallet=WALLET, cookie=node.cookie))
    found = Server(tmp_path, {"PROOF_CHAINS_FILE": str(chains), "PROOF_PROCESSES": "1"})
    found.start()
    try:
        yield found
    finally:
        found.stop()


def chains(server: Server) -> Any:
    done = server.run("chains", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    return found


@pytest.mark.timeout(600)
def test_from_the_first_answer_to_the_proof(server: Server, node: Regtest) -> None:
    partner = server.add_partner()
    key = partner["production"]["api_key"]
    digest = sha256(b"anchored").hexdigest()
    answer = call(f"{server.url}/v1/timestamp", key, {"sha256": [digest]})
    assert [tree["currencyId"] for tree in answer["trees"]] == [0, 900]
    assert answer["trees"][0]["currency"] == "BTC"
    tree = f"{server.url}/v1/tree/{answer['trees'][0]['treeId']}"

    (transaction,) = eventually(node.mempool)
    eventually(lambda: call(tree, key)["submitStatus"] == 1)
    assert "transaction" not in call(tree, key)
    node.mine()
    eventually(lambda: call(tree, key)["submitStatus"] == 2)
    node.reorganise(1)
    eventually(lambda: call(tree, key)["submitStatus"] == 1)
    blocks = node.mine(2)
    verified = eventually(
        lambda: found if (found := call(tree, key))["submitStatus"] == 3 else None
    )
    assert verified["transaction"] == transaction
    assert verified["timestamp"] == node.call("getblock", blocks[0])["time"] * 1000

    proof = call(f"{server.url}/v1/proof/{digest}?currencyId=0", key)
    assert proof["tree"] == verified
    trust = ChainTrust(
        bitcoin_blocks=frozenset({bytes.fromhex(blocks[0])[::-1]}), networks=frozenset({"regtest"})
    )
    established = verify_payload(json.dumps(proof).encode(), chains=trust)
    assert established.tied
    assert established.leaf.hex() == digest

    shown = chains(server)
    assert (shown["environment"], shown["currency"]) == ("production", "BTC")
    assert shown["node"] == {"network": "regtest", "height": node.call("getblockcount")}
    assert shown["wallet"]["pays_for"] > 1_000
    assert shown["last_anchor"]["transaction"] == transaction
    assert shown["spent"]["anchors"] == shown["spent"]["hashes"] == 1
    assert shown["spent"]["cost"] > 0
    assert (shown["trouble"], shown["open_tree"]["rounds"]) == (None, 0)

    node.stop()
    call(f"{server.url}/v1/timestamp", key, {"sha256": [sha256(b"meanwhile").hexdigest()]})
    told = eventually(lambda: found if (found := chains(server))["trouble_since"] else None)
    assert told["node"] is None
    assert "bitcoind is not running" in told["trouble"]
    assert "waits" in server.run("chains").stdout
    node.start()
    eventually(node.mempool)
    eventually(lambda: chains(server)["trouble"] is None)
