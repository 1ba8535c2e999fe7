"""The unmodified `ots` client against a calendar over a real bitcoind."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.serialize import BytesDeserializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.served import Server, served

_GIVE_UP_S = 120.0
_CONFIRMATIONS = 6


@dataclass(frozen=True, slots=True)
class Site:
    """A server with a calendar, the node it anchors with, and a partner's key."""

    server: Server
    node: Regtest
    api_key: str

    def ots(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The client, which takes nothing from this machine's settings."""
        user, _, password = self.node.cookie.read_text().partition(":")
        rpc = f"http://{user}:{password}@127.0.0.1:{self.node.port}"
        client = Path(sys.executable).with_name("ots")
        return subprocess.run(
            [
                *(sys.executable, "-W", "ignore", str(client)),
                *("--btc-regtest", "--no-cache", "--bitcoin-node", rpc, "-l", self.server.url),
                *arguments,
            ],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def get(self, path: str) -> tuple[int, bytes]:
        request = urllib.request.Request(
            self.server.url + path, headers={"x-api-key": self.api_key}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def post(self, path: str, body: bytes) -> bytes:
        headers = {"x-api-key": self.api_key, "content-type": "application/json"}
        request = urllib.request.Request(self.server.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            read: bytes = answer.read()
            return read

    def confirm(self) -> None:
        """Wait for the anchor of what was stamped, and bury it."""
        until(lambda: self.node.mempool() != [])
        self.node.mine(_CONFIRMATIONS)


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _GIVE_UP_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="pb-") as name,
        regtest(Path(name) / "node") as node,
    ):
        chains = Path(name) / "chains.toml"
        chains.write_text(
            f"""
            [production.bitcoin]
            url = "{node.url}"
            credentials_file = "{node.cookie}"
            wallet = "{WALLET}"
            network = "regtest"
            confirmations = {_CONFIRMATIONS}
            every_s = 1
            """
        )
        settings = {"PROOF_CHAINS_FILE": str(chains)}
        with served(settings, {"PROOF_CALENDAR_URL": "{}"}) as server:
            yield Site(server, node, server.add_partner()["production"]["api_key"])


def read_ots(path: Path) -> DetachedTimestampFile:
    return DetachedTimestampFile.deserialize(BytesDeserializationContext(path.read_bytes()))


def attestations(path: Path) -> set[type]:
    return {type(item) for _, item in read_ots(path).timestamp.all_attestations()}


def test_stamp_upgrade_verify(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"what existed then")
    stamped = site.ots(tmp_path, "stamp", "-c", site.server.url, "-m", "1", "file")
    assert stamped.returncode == 0, stamped.stderr
    proof = tmp_path / "file.ots"
    assert attestations(proof) == {PendingAttestation}
    ((message, _),) = read_ots(proof).timestamp.all_attestations()
    early = site.ots(tmp_path, "upgrade", "file.ots")
    assert "Pending confirmation in Bitcoin blockchain" in early.stderr
    assert attestations(proof) == {PendingAttestation}
    site.confirm()
    until(lambda: site.get(f"/timestamp/{message.hex()}")[0] == 200)
    upgraded = site.ots(tmp_path, "upgrade", "file.ots")
    assert "Success! Timestamp complete" in upgraded.stderr, upgraded.stderr
    assert BitcoinBlockHeaderAttestation in attestations(proof)
    verified = site.ots(tmp_path, "verify", "file.ots")
    assert verified.returncode == 0, verified.stderr
    assert "Success! Bitcoin block" in verified.stderr
    (tmp_path / "file").write_bytes(b"something else")
    assert site.ots(tmp_path, "verify", "file.ots").returncode != 0


def test_a_partners_hash_is_exported(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a partner")
    sha256 = hashlib.sha256(b"of a partner").hexdigest()
    answer = json.loads(site.post("/v1/timestamp", json.dumps({"sha256": [sha256]}).encode()))
    assert [tree["currency"] for tree in answer["trees"]] == ["BTC", "LOG"]
    path = f"/v1/proof/{sha256}?currencyId=0"
    assert site.get(path + "&format=ots")[0] == 425
    site.confirm()
    until(lambda: site.get(path)[0] == 200)
    status, raw = site.get(path + "&format=ots")
    assert status == 200
    (tmp_path / "file.ots").write_bytes(raw)
    verified = site.ots(tmp_path, "verify", "file.ots")
    assert verified.returncode == 0, verified.stderr
    assert "Success! Bitcoin block" in verified.stderr
    assert site.get(f"/v1/proof/{sha256}?currencyId=900&format=ots")[0] == 400
    assert site.get(path + "&format=pdf")[0] == 400


def test_a_lost_file_is_made_anew(site: Site, tmp_path: Path) -> None:
    commitment = hashlib.sha256(b"posted by hand").digest()
    site.post("/digest", commitment)
    site.confirm()
    for name in (commitment, hashlib.sha256(commitment).digest()):
        raw = until(partial(_complete, site, name))
        assert raw[:1] not in {b"\x00", b"\xff"}


def _complete(site: Site, name: bytes) -> bytes | None:
    status, raw = site.get(f"/timestamp/{name.hex()}")
    if status == 200:
        return raw
    assert raw == b"Pending confirmation in Bitcoin blockchain"
    return None
