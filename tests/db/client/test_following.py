"""Our own log, served and exported: followed by our commands and by another author's."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from tests.db.api.test_log import grow
from tests.db.client.conftest import Proof, Server
from tests.support.aics_log import aics_tlog, audited_sizes
from tests.support.file_server import file_server
from tests.support.partners import owner_of, tamper
from tests.support.retiring import retire
from tests.support.served_platform import platform_served
from typer.testing import CliRunner, Result

from proof.cli.log import commands as log
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.partners.types import OnboardedPartner

T = TypeVar("T")
KNOWN = ("--log-key", "log.key")
ALTER = """
UPDATE log_entries SET root = plain_root, plain_root = root
WHERE position = (SELECT max(position) FROM log_entries)
"""
LOOK = ("--state", "state", "--once", "--entries", "--json")


class Running:
    """The installation whose database the server has."""

    def __init__(self, server: Server) -> None:
        self._served = server.served

    def with_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            return await action(self._served.platform.database)

        return self._served.run(run())


@pytest.fixture
def export(server: Server) -> Proof:
    """`proof log export <arguments>` by the operator of the server."""
    app = typer.Typer()
    log.register(app, lambda options: Running(server))  # type: ignore[arg-type]

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["log", "export", *map(str, arguments)])

    return run


async def add_entries(server: Server, partner: OnboardedPartner, count: int) -> None:
    platform = server.served.platform
    await grow(platform, (await owner_of(platform.database, partner)).id, count)


def test_a_served_log_is_watched_mirrored_and_read_by_others(
    proof: Proof, server: Server, partner: OnboardedPartner, tmp_path: Path, export: Proof
) -> None:
    Path("log.key").write_text(proof("log", "key").stdout)
    Path("contract.txt").write_bytes(b"contract " + partner.partner_id.encode())
    proof("stamp", "contract.txt")
    server.seal()
    assert proof("fetch", "contract.txt").exit_code == 0
    vkey = Path("log.key").read_text().splitlines()[0]
    prefix = f"{server.served.url}/log"
    held = ("--against", "contract.txt.proof.json")
    sizes = []
    with file_server(tmp_path / "copy") as copy, file_server(tmp_path / "exported") as exported:
        for count in (255, 300):
            server.served.run(add_entries(server, partner, count))
            looked = proof("log", "monitor", prefix, *KNOWN, *LOOK, *held)
            assert looked.exit_code == 0, looked.output
            found: dict[str, Any] = json.loads(looked.stdout)
            assert found["entriesHashed"] == found["size"]
            sizes.append(found["size"])
            assert proof("log", "mirror", prefix, "copy", *KNOWN).exit_code == 0
            assert export("exported").exit_code == 0
            places = [prefix, copy, exported, tmp_path / "copy", tmp_path / "exported"]
            assert audited_sizes(places, vkey) == [sizes[-1]] * len(places)
            if len(sizes) > 1:
                grown = ("--old-checkpoint", "before", "--log-key", vkey)
                for tiles in (prefix, copy, exported):
                    assert aics_tlog("verify-consistency", "--tiles", tiles, *grown)["ok"]
            Path("before").write_bytes(Path("copy/checkpoint").read_bytes())
        # Whoever has a proof can hold the mirror to it.
        elsewhere = ("--state", "of-the-mirror", "--once", *held)
        assert proof("log", "monitor", copy, *KNOWN, *elsewhere).exit_code == 0
    assert sizes[1] == sizes[0] + 300
    assert (tmp_path / "exported/key").read_text() == Path("log.key").read_text()
    by_policy = ("--policy", tmp_path / "exported/policy", "--state", "by-policy", "--once")
    assert proof("log", "monitor", prefix, *by_policy).exit_code == 0
    evidence = json.loads(Path("contract.txt.proof.json").read_bytes())["evidence"]
    place = ("--tiles", tmp_path / "copy", "--log-key", vkey, "--index", evidence["index"])
    assert aics_tlog("verify-inclusion", *place, "--entry-out", "entry")["ok"]
    payload = json.loads(Path("contract.txt.proof.json").read_bytes())
    root = payload["tree"]["rootSha256"] + evidence["plainRoot"]
    assert Path("entry").read_bytes().hex() == root


def test_an_export_of_what_is_not_what_was_signed_is_refused(
    server: Server, partner: OnboardedPartner, export: Proof, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    assert export(folder, "--env", "sandbox").exit_code == 3
    assert export(folder, "--log", "another").exit_code == 2
    server.served.run(add_entries(server, partner, 3))
    assert export(folder).exit_code == 0
    before = (folder / "checkpoint").read_bytes()
    server.served.run(add_entries(server, partner, 1))

    server.act(tamper, ALTER)
    done = export(folder, "--json")
    server.act(tamper, ALTER)
    assert done.exit_code == 15, done.output
    assert json.loads(done.stdout)["fault"] == "altered"
    assert (folder / "checkpoint").read_bytes() == before
    assert export(folder).exit_code == 0


def test_a_monitor_goes_with_a_log_that_is_closed(
    cluster: EmbeddedCluster, proof: Proof, tmp_path: Path
) -> None:
    with platform_served(cluster, tmp_path / "server") as served:
        prefix = f"{served.url}/log"
        policy, look = (
            ("--policy", "policy"),
            ("log", "monitor", prefix, *LOOK, "--policy", "policy"),
        )

        def trust_anew() -> None:
            Path("policy").write_bytes(served.run(served.platform.call("GET", "/log/policy")).body)

        partner = served.run(served.platform.onboard())
        owner = served.run(owner_of(served.platform.database, partner)).id
        served.run(grow(served.platform, owner, 300))
        trust_anew()
        first = json.loads(proof(*look).stdout)
        platform = served.platform
        served.run(retire(platform.database, platform.vault, platform.folder))
        served.run(grow(platform, owner, 3))
        strange = proof(*look)
        assert strange.exit_code == 12
        assert "get the new policy" in json.loads(strange.stdout)["message"]
        trust_anew()
        looked = proof(*look)
        assert looked.exit_code == 0, looked.output
        second = json.loads(looked.stdout)
        assert (first["size"], second["size"], second["entriesHashed"]) == (300, 4, 4)
        assert first["origin"] != second["origin"]
        assert proof("log", "mirror", f"{prefix}/retired/1", "closed", *policy).exit_code == 0
        key = served.run(platform.call("GET", "/log/retired/1/key")).body.decode().splitlines()[0]
        places = [tmp_path / "closed", f"{prefix}/retired/1"]
        assert audited_sizes(places, key) == [300, 300]
