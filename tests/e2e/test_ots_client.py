"""Three unmodified clients against a calendar over a real bitcoind: the official ones of Python and of
JavaScript, and otskit."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpAppend, OpSHA256
from opentimestamps.core.serialize import BytesDeserializationContext, BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.served import Server, eventually, served
from tests.support.tools import ots_clients

from proof.verify import to_ots

_CONFIRMATIONS = 6


@dataclass(frozen=True, slots=True)
class Site:
    """A server with a calendar, the node it anchors with, and a partner's key."""

    server: Server
    node: Regtest
    api_key: str

    def run(self, client: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of `CLIENTS`, unmodified, which takes nothing from this machine's settings."""
        user, _, password = self.node.cookie.read_text().partition(":")
        rpc = f"http://{user}:{password}@127.0.0.1:{self.node.port}"
        more: dict[str, str] = {}
        match client:
            case "ots":
                program = Path(sys.executable).with_name("ots")
                command = [sys.executable, "-W", "ignore", str(program)]
                command += ["--btc-regtest", "--no-cache", "--bitcoin-node", rpc]
            case "javascript":
                # It finds its node where bitcoind has its settings.
                settings = folder / ".bitcoin" / "bitcoin.conf"
                settings.parent.mkdir(exist_ok=True)
                settings.write_text(
                    f"rpcuser={user}\nrpcpassword={password}\nrpcconnect=127.0.0.1\n"
                    f"rpcport={self.node.port}\n"
                )
                command = ots_clients.javascript()
            case _:
                command, more = ots_clients.otskit()
        return subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC", **more},
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
        eventually(lambda: self.node.mempool() != [])
        self.node.mine(_CONFIRMATIONS)


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


CLIENTS = ("ots", "javascript", "otskit")
OTHER_CALENDAR = "https://calendar.other.example"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """The clients are there before a test's time limit runs."""
    ots_clients.javascript()
    ots_clients.otskit()


def stamp(site: Site, client: str, folder: Path) -> None:
    arguments = {
        "ots": ("stamp", "-c", site.server.url, "-m", "1", "file"),
        "javascript": ("stamp", "-c", site.server.url, "-m", "1", "file"),
        "otskit": ("stamp", "--calendar", site.server.url, "file"),
    }[client]
    done = site.run(client, folder, *arguments)
    assert done.returncode == 0, done


def upgrade(site: Site, client: str, folder: Path) -> str:
    """What the client says, on whichever stream."""
    arguments = {
        "ots": ("-l", site.server.url, "upgrade", "file.ots"),
        "javascript": ("--no-default-whitelist", "-l", site.server.url, "upgrade", "file.ots"),
        "otskit": ("upgrade", "--calendar", site.server.url, "file.ots"),
    }[client]
    done = site.run(client, folder, *arguments)
    return done.stdout + done.stderr


def require_read(site: Site, folder: Path, *others: str) -> None:
    """Every client tells the whole file: the block, the calendar, and what `others` name."""
    height = height_in(folder)
    for client in CLIENTS:
        done = site.run(client, folder, "info", "file.ots")
        assert done.returncode == 0, (client, done)
        for said in (f"BitcoinBlockHeaderAttestation({height})", *others):
            assert said in done.stdout, (client, said)


def height_in(folder: Path) -> int:
    """Of the one block that attests the file."""
    heights = {
        item.height
        for _, item in read_ots(folder / "file.ots").timestamp.all_attestations()
        if isinstance(item, BitcoinBlockHeaderAttestation)
    }
    (height,) = heights
    found: int = height
    return found


def require_verified(site: Site, folder: Path, client: str) -> None:
    """A client verifies the file by the node, or by the header that the node has."""
    height = height_in(folder)
    header = site.node.call("getblockheader", site.node.call("getblockhash", height), False)
    arguments, said = {
        "ots": (("verify",), "Success! Bitcoin block"),
        "javascript": (
            ("--no-default-whitelist", "verify"),
            f"Success! Bitcoin block {height} attests existence as of",
        ),
        "otskit": (("verify", "--header", header), "verified"),
    }[client]
    done = site.run(client, folder, *arguments, "file.ots")
    assert said in (done.stderr if client == "ots" else done.stdout), (client, done)


def stamped_by_each(site: Site, tmp_path: Path, what: str) -> dict[str, Path]:
    """A folder for each client, with a file that it stamped and that waits for its block."""
    folders = {client: tmp_path / client for client in CLIENTS}
    for client, folder in folders.items():
        folder.mkdir()
        (folder / "file").write_bytes(f"{what}, by {client}".encode())
        stamp(site, client, folder)
        assert attestations(folder / "file.ots") == {PendingAttestation}
    return folders


def await_blocks(site: Site, folders: Iterable[Path]) -> None:
    """Bury what was stamped, in however many trees."""
    for folder in folders:
        for message, item in read_ots(folder / "file.ots").timestamp.all_attestations():
            if item.uri != OTHER_CALENDAR:
                eventually(partial(_buried, site, message))


def _buried(site: Site, message: bytes) -> bytes | None:
    if site.node.mempool():
        site.node.mine(_CONFIRMATIONS)
    return _complete(site, message)


def test_every_client_stamps_and_upgrades_and_all_read_what_came_of_it(
    site: Site, tmp_path: Path
) -> None:
    folders = stamped_by_each(site, tmp_path, "what existed then")
    early = upgrade(site, "ots", folders["ots"])
    assert "Pending confirmation in Bitcoin blockchain" in early
    await_blocks(site, folders.values())
    for client, folder in folders.items():
        said = upgrade(site, client, folder)
        assert BitcoinBlockHeaderAttestation in attestations(folder / "file.ots"), (client, said)
        require_read(site, folder)
        for reader in CLIENTS:
            require_verified(site, folder, reader)
    (folders["ots"] / "file").write_bytes(b"something else")
    assert site.run("ots", folders["ots"], "verify", "file.ots").returncode != 0


def test_beside_another_calendars_promise_a_file_stays_readable_by_all(
    site: Site, tmp_path: Path
) -> None:
    folders = stamped_by_each(site, tmp_path, "at two calendars")
    for folder in folders.values():
        file = read_ots(folder / "file.ots")
        nonced = file.timestamp.ops.add(OpAppend(b"a nonce")).ops.add(OpSHA256())
        nonced.attestations.add(PendingAttestation(OTHER_CALENDAR))
        written = BytesSerializationContext()
        file.serialize(written)
        (folder / "file.ots").write_bytes(written.getbytes())
    await_blocks(site, folders.values())
    for client, folder in folders.items():
        upgrade(site, client, folder)
        require_read(site, folder, f"PendingAttestation('{OTHER_CALENDAR}')")
        # What verifies is the block, which the promise beside it does not touch.
        require_verified(site, folder, client)


def test_a_partners_hash_is_exported(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a partner")
    sha256 = hashlib.sha256(b"of a partner").hexdigest()
    answer = json.loads(site.post("/v1/timestamp", json.dumps({"sha256": [sha256]}).encode()))
    assert [tree["currency"] for tree in answer["trees"]] == ["BTC", "LOG"]
    path = f"/v1/proof/{sha256}?currencyId=0"
    assert site.get(path + "&format=ots")[0] == 425
    site.confirm()
    eventually(lambda: site.get(path)[0] == 200)
    status, raw = site.get(path + "&format=ots")
    assert status == 200
    (tmp_path / "file.ots").write_bytes(raw)
    require_read(site, tmp_path)
    for reader in CLIENTS:
        require_verified(site, tmp_path, reader)
    assert to_ots(site.get(path)[1]) == raw
    assert site.get(f"/v1/proof/{sha256}?currencyId=900&format=ots")[0] == 400
    assert site.get(path + "&format=pdf")[0] == 400


def test_a_lost_file_is_made_anew(site: Site, tmp_path: Path) -> None:
    commitment = hashlib.sha256(b"posted by hand").digest()
    site.post("/digest", commitment)
    site.confirm()
    for name in (commitment, hashlib.sha256(commitment).digest()):
        raw = eventually(partial(_complete, site, name))
        assert raw[:1] not in {b"\x00", b"\xff"}


def _complete(site: Site, name: bytes) -> bytes | None:
    status, raw = site.get(f"/timestamp/{name.hex()}")
    if status == 200:
        return raw
    assert raw == b"Pending confirmation in Bitcoin blockchain"
    return None
