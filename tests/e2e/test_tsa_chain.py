"""One Proof stamps by another's authority: from the answer to a proof that openssl agrees with."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.support.served import Server, call, eventually, served

from proof.verify.cli import main

_CHAINS = """
[production.tsa]
url = "{url}/tsa"
ca_certificate_file = "ca.pem"
every_s = 1
"""


@pytest.fixture
def authority() -> Iterator[Server]:
    with served({"PROOF_TSA_ENABLED": "true", "PROOF_PROCESSES": "1"}) as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, authority: Server) -> Iterator[Server]:
    with urllib.request.urlopen(f"{authority.url}/tsa/chain", timeout=60) as answer:
        (tmp_path / "ca.pem").write_bytes(answer.read())
    (tmp_path / "chains.toml").write_text(_CHAINS.format(url=authority.url))
    settings = {"PROOF_CHAINS_FILE": str(tmp_path / "chains.toml"), "PROOF_PROCESSES": "1"}
    with served(settings) as found:
        yield found


@pytest.mark.timeout(600)
def test_from_the_answer_to_the_proof(
    server: Server, authority: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = server.add_partner()["production"]["api_key"]
    digest = sha256(b"signed").hexdigest()
    asked_at = int(time.time())
    answer = call(f"{server.url}/v1/timestamp", key, {"sha256": [digest]})
    assert [tree["currencyId"] for tree in answer["trees"]] == [900, 901]
    tree = f"{server.url}/v1/tree/{answer['trees'][1]['treeId']}"
    verified = eventually(
        lambda: found if (found := call(tree, key))["submitStatus"] == 3 else None
    )
    assert verified["currency"] == "TSA"
    assert verified["transaction"].isdigit()
    assert asked_at <= verified["timestamp"] / 1000 <= time.time()

    proof = call(f"{server.url}/v1/proof/{digest}?currencyId=901", key)
    assert proof["tree"] == verified
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    signer = x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())[0]
    fingerprint = signer.fingerprint(hashes.SHA256()).hex()
    assert main([str(tmp_path / "proof.json")]) == 3
    assert fingerprint in capsys.readouterr().out
    arguments = [str(tmp_path / "proof.json"), "--sha256", digest]
    assert main([*arguments, "--tsa-certificate", fingerprint]) == 0
    assert main([*arguments, "--tsa-certificate", "00" * 32]) == 3
    (tmp_path / "token").write_bytes(bytes.fromhex(proof["evidence"]["token"]))
    command = ["openssl", "ts", "-verify", "-token_in", "-in", "token", "-CAfile", "ca.pem"]
    done = subprocess.run(
        [*command, "-digest", verified["rootSha256"]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Verification: OK" in done.stdout, done.stderr

    (shown,) = chains(server)
    assert shown["currency"] == "TSA"
    assert shown["node"] == {"network": f"certificate {fingerprint}", "height": None}
    assert (shown["wallet"], shown["trouble"]) == (None, None)
    assert shown["last_anchor"]["transaction"] == verified["transaction"]
    assert shown["spent"] == {"anchors": 1, "cost": 0, "hashes": 1, "per_hash": "0"}
    assert f"authority   certificate {fingerprint[:20]}" in server.run("chains").stdout

    authority.stop()
    call(f"{server.url}/v1/timestamp", key, {"sha256": [sha256(b"meanwhile").hexdigest()]})
    (told,) = eventually(lambda: found if (found := chains(server))[0]["trouble_since"] else None)
    assert told["node"] is None
    assert "time-stamping authority does not answer" in told["trouble"]


def chains(server: Server) -> Any:
    done = server.run("chains", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
