"""Headers from a real node, and a Bitcoin proof verified with them and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support import anchored
from tests.support.bitcoin import WALLET, regtest

PROOF = Path(sys.executable).with_name("proof")


def test_headers_of_a_real_node_and_its_reorganisation(tmp_path: Path) -> None:
    def proof(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(PROOF), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    with regtest(tmp_path / "node") as node:
        source = ("--bitcoin-node", node.url, "--bitcoin-credentials", node.cookie)
        sync = ("headers", "sync", "regtest.headers", *source, "--network", "regtest", "--json")
        done = proof(*sync)
        assert done.returncode == 0, done.stderr
        before = json.loads(done.stdout)
        assert before["end"] == node.call("getblockcount") + 1
        node.call("invalidateblock", node.call("getblockhash", before["end"] - 3))
        node.call("generatetoaddress", 6, node.call("getnewaddress", wallet=WALLET))
        after = json.loads(proof(*sync).stdout)
        assert after["end"] == before["end"] + 3
        assert after["replaced"] >= 3
        best = node.call("getbestblockhash")
    raw = (tmp_path / "regtest.headers").read_bytes()
    assert anchored.double_sha256(raw[-80:])[::-1].hex() == best
    wrong = proof("headers", "sync", "main.headers", *source)
    assert wrong.returncode == 4  # nobody answers any more
    assert not (tmp_path / "main.headers").exists()
