"""A partner's commands against a real server, from a folder of files to a verified proof."""

import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import PROOF
from tests.support.served import Server, served
from typer.testing import CliRunner, Result

Proof = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def partner(server: Server) -> dict[str, Any]:
    return server.add_partner()


@pytest.fixture
def proof(partner: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proof:
    """Runs `proof <arguments>` in an empty folder as the partner."""
    monkeypatch.chdir(tmp_path)
    production = partner["production"]
    settings = {"PROOF_URL": production["base_url"], "PROOF_API_KEY": production["api_key"]}

    def run(*arguments: object, **environment: str) -> Result:
        result = CliRunner().invoke(PROOF, list(map(str, arguments)), env=settings | environment)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert production["api_key"] not in result.output
        return result

    return run


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(os.urandom(100))
    return path


def save_log_key(proof: Proof) -> None:
    done = proof("log", "key")
    assert done.exit_code == 0
    Path("log.key").write_text(done.stdout)


def test_from_file_to_verified_proof(proof: Proof, report: Path) -> None:
    digest = sha256(report.read_bytes()).hexdigest()
    assert proof("status", "report.pdf").exit_code == 1
    assert proof("stamp", "report.pdf").stdout == f"new    {digest}  report.pdf\n"
    assert proof("stamp", "report.pdf").stdout == f"known  {digest}  report.pdf\n"
    assert proof("fetch", "report.pdf").exit_code == 0
    status = proof("status", digest)
    assert status.exit_code == 0
    assert "verified" in status.stdout
    assert proof("verify", "report.pdf").exit_code == 3
    assert proof("verify", "report.pdf.proof.json").exit_code == 3
    save_log_key(proof)
    verified = proof("verify", "report.pdf", "--log-key", "log.key")
    assert verified.exit_code == 0
    assert f"SHA-256 {digest}) existed by " in verified.stdout
    report.write_bytes(b"altered")
    assert proof("verify", "report.pdf", "--log-key", "log.key").exit_code == 1


def test_as_separate_processes(
    server: Server, partner: dict[str, Any], report: Path, tmp_path: Path
) -> None:
    environment = {
        "PROOF_URL": partner["sandbox"]["base_url"],
        "PROOF_API_KEY": partner["sandbox"]["api_key"],
    }
    stamped = server.run_process(
        "stamp", "report.pdf", "--wait", "--json", cwd=tmp_path, **environment
    )
    assert stamped.returncode == 0, stamped.stderr
    assert not stamped.stderr
    told = json.loads(stamped.stdout)
    assert told["files"][0]["new"]
    assert told["proofs"][0]["proof"] == "report.pdf.proof.json"
    assert [tree["currency"] for tree in told["requests"][0]["trees"]] == ["LOG"]
    verified = server.run_process("verify", "report.pdf", "--json", cwd=tmp_path)
    assert verified.returncode == 3, verified.stderr
    assert json.loads(verified.stdout)["result"] == "untied"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "2026").mkdir(parents=True)
    for number in range(2_000):
        (folder / "2026" / f"{number}.jpg").write_bytes(b"%d of %s" % (number, os.urandom(8)))
    (folder / "2026" / "newest.jpg").symlink_to("1999.jpg")
    return folder


def test_a_folder_and_its_manifest(proof: Proof, photos: Path, tmp_path: Path) -> None:
    before = sorted(photos.rglob("*"))
    stamped = proof("stamp", "photos", "--wait", "--json")
    assert stamped.exit_code == 0, stamped.output
    told = json.loads(stamped.stdout)
    assert len(told["files"]) == 2_000
    assert all(file["new"] for file in told["files"])
    assert [request["new"] for request in told["requests"]] == [2_001]
    assert told["skipped"] == [{"path": "photos/2026/newest.jpg", "reason": "a symbolic link"}]
    assert sorted(photos.rglob("*")) == before
    manifest = tmp_path / "photos.proof-manifest.json"
    assert told["manifests"][0]["sha256"] == sha256(manifest.read_bytes()).hexdigest()

    save_log_key(proof)
    check = ("verify", manifest.name, "--files", "photos", "--log-key", "log.key")
    whole = proof(*check)
    assert whole.exit_code == 0
    # What is behind a link nobody vouches for, so the link is told.
    assert "skipped   photos/2026/newest.jpg: a symbolic link" in whole.stdout
    end = "photos is exactly as the manifest says; what was skipped no manifest covers.\n"
    assert whole.stdout.endswith(end)
    assert proof("verify", manifest.name, "--files", "photos").exit_code == 3

    again = proof("stamp", "photos")
    assert again.exit_code == 0
    assert "new" not in {line.split()[0] for line in again.stdout.splitlines()}

    (photos / "2026" / "7.jpg").unlink()
    (photos / "2026" / "8.jpg").write_bytes(b"retouched")
    (photos / "added.jpg").write_bytes(b"")
    differing = proof(*check)
    assert differing.exit_code == 1
    for line in ("missing   2026/7.jpg", "changed   2026/8.jpg", "extra     added.jpg"):
        assert line in differing.stdout
    files = json.loads(proof(*check, "--json").stdout)["files"]
    assert files == {
        "missing": ["2026/7.jpg"],
        "changed": ["2026/8.jpg"],
        "extra": ["added.jpg"],
        "unreadable": [],
        "skipped": [{"path": "photos/2026/newest.jpg", "reason": "a symbolic link"}],
    }

    kept = manifest.read_bytes()
    refused = proof("stamp", "photos")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert manifest.read_bytes() == kept
    assert proof("stamp", "photos", "--manifest", "second.json").exit_code == 0
    assert proof("stamp", "photos", "--force").exit_code == 0
    assert manifest.read_bytes() == (tmp_path / "second.json").read_bytes() != kept


def test_a_file_whose_name_is_not_text(proof: Proof, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / os.fsdecode(b"a\xff\n")).write_bytes(os.urandom(8))
    done = proof("stamp", "odd")
    assert done.exit_code == 1
    assert "odd/a\\udcff\\n: its name is not UTF-8" in done.stderr
    assert "odd/a\\udcff\\n" in done.stdout
    assert proof("stamp", "odd", "--json").exit_code == 1


def test_many_proofs_at_once(proof: Proof, tmp_path: Path) -> None:
    digests = [os.urandom(32).hex() for _ in range(100)]
    hashes = [argument for digest in digests for argument in ("--sha256", digest)]
    assert proof("stamp", *hashes).exit_code == 0
    done = proof("fetch", *digests, "-o", "proofs")
    assert done.exit_code == 0, done.stderr
    names = {path.name for path in (tmp_path / "proofs").iterdir()}
    assert names == {f"{digest}.proof.json" for digest in digests}


def test_what_is_not_there(proof: Proof, report: Path) -> None:
    assert proof("fetch", "report.pdf").exit_code == 1
    unproved = proof("verify", "report.pdf")
    assert unproved.exit_code == 2
    assert "proof fetch" in unproved.stderr
    assert proof("stamp", "gone.pdf").exit_code == 1
    stamped = proof("stamp", "gone.pdf", "report.pdf", "--json")
    assert stamped.exit_code == 1
    assert json.loads(stamped.stdout)["unreadable"][0]["path"] == "gone.pdf"
    assert json.loads(stamped.stdout)["files"][0]["new"]


def test_a_key_of_the_other_environment(
    proof: Proof, partner: dict[str, Any], report: Path
) -> None:
    done = proof("stamp", "report.pdf", PROOF_API_KEY=partner["sandbox"]["api_key"])
    assert done.exit_code == 4
    assert "check PROOF_API_KEY" in done.stderr
    assert partner["sandbox"]["api_key"] not in done.output


def test_a_credential_of_the_other_kind(
    proof: Proof, partner: dict[str, Any], report: Path
) -> None:
    done = proof("stamp", "report.pdf", PROOF_API_KEY=partner["production"]["client_token"])
    assert done.exit_code == 4
    assert "api_key" in done.stderr


def test_an_address_that_is_not_allowed(proof: Proof, server: Server, report: Path) -> None:
    elsewhere = server.add_partner(timestamps_ip=["192.0.2.1"])
    done = proof("stamp", "report.pdf", PROOF_API_KEY=elsewhere["production"]["api_key"])
    assert done.exit_code == 4
    assert "127.0.0.1 is not on the allowlist" in done.stderr
