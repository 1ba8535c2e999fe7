"""proof stamp: few requests, exact acknowledgements, manifests in their place."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from tests.db.client.conftest import Proof, Server
from tests.support.middleman import Answer, Middleman, doubled, instead, lost, unanswered, with_body

STAMP = "/v1/timestamp"


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def submitted(line: Middleman) -> list[list[str]]:
    """The hashes of each request."""
    return [json.loads(asked.body)["sha256"] for asked in line.asked if asked.path == STAMP]


def test_thousands_of_files_are_one_request(proof: Proof, line: Middleman, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1_500):
        (folder / f"{number:05}").write_bytes(b"%d" % number)
    assert proof("stamp", folder).exit_code == 0
    assert [len(hashes) for hashes in submitted(line)] == [1_501]


def test_each_hash_is_submitted_once(proof: Proof, line: Middleman, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    same = digest(b"same")
    done = proof("stamp", "a", "b", "--sha256", same.upper(), "--json")
    assert done.exit_code == 0
    assert submitted(line) == [[same]]
    assert [file["path"] for file in json.loads(done.stdout)["files"]] == ["a", "b"]


def test_new_and_known_are_told_apart(proof: Proof, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    assert proof("stamp", "b").exit_code == 0
    done = proof("stamp", "a", "b")
    assert done.stdout == f"new    {digest(b'a')}  a\nknown  {digest(b'b')}  b\n"
    assert "2 hashes stamped: 1 new, 1 known" in done.stderr
    assert "proof fetch" in done.stderr


@pytest.mark.parametrize("answered", [[], ["b" * 64], ["a" * 64, "b" * 64]])
def test_an_answer_about_other_hashes_is_no_acknowledgement(
    proof: Proof, line: Middleman, answered: list[str]
) -> None:
    def garbled(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "sha256": answered}).encode()

    line.faults[STAMP] = [with_body(garbled)]
    done = proof("stamp", "--sha256", "a" * 64)
    assert done.exit_code == 1
    assert "did not acknowledge" in done.stderr


@pytest.mark.parametrize(("fault", "word"), [(lost, "new"), (unanswered, "known")])
def test_a_submission_without_an_answer_can_be_made_again(
    proof: Proof, line: Middleman, fault: object, word: str
) -> None:
    line.faults[STAMP] = [fault]  # type: ignore[list-item]
    first = proof("stamp", "--sha256", "a" * 64)
    assert (first.exit_code, first.stdout) == (4, "")
    assert f"no answer from {line.url}" in first.stderr
    again = proof("stamp", "--sha256", "a" * 64)
    assert (again.exit_code, again.stdout) == (0, f"{word:5}  {'a' * 64}\n")


def test_a_submission_that_arrives_twice_is_acknowledged(proof: Proof, line: Middleman) -> None:
    line.faults[STAMP] = [doubled]
    assert proof("stamp", "--sha256", "a" * 64).exit_code == 0
    assert proof("status", "a" * 64).exit_code == 3


def test_what_cannot_be_read_is_told_and_the_rest_stamped(proof: Proof, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    done = proof("stamp", "gone", "a")
    assert done.exit_code == 1
    assert "cannot read gone: No such file or directory" in done.stderr
    assert f"new    {digest(b'a')}  a" in done.stdout


def test_a_failure_midway_says_how_far_it_came(
    proof: Proof, line: Middleman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.cli.proofs.stamping.chunks", lambda digests: [[d] for d in digests])
    line.faults[STAMP] = [None, instead(Answer(500, headers={"x-request-id": "r7"}))]
    done = proof("stamp", "--sha256", "a" * 64, "--sha256", "b" * 64)
    assert done.exit_code == 1
    assert "r7" in done.stderr
    assert "1 of 2 hashes are stamped; running this again is safe" in done.stderr


@pytest.mark.parametrize("named", [".", "../here", "../here/", "sub/.."])
def test_the_manifest_is_named_after_the_folder(
    proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert proof("stamp", named).exit_code == 0
    (manifest,) = tmp_path.glob("*.proof-manifest.json")
    assert manifest.name == "here.proof-manifest.json"
    assert json.loads(manifest.read_bytes())["files"] == []


def test_waiting_replaces_the_proof_of_an_earlier_version_only_when_forced(
    proof: Proof, server: Server, tmp_path: Path
) -> None:
    version, place = tmp_path / "a", tmp_path / "a.proof.json"
    version.write_bytes(os.urandom(8))
    assert proof("stamp", "a").exit_code == 0
    server.seal()
    assert proof("fetch", "a").exit_code == 0
    earlier = place.read_bytes()
    version.write_bytes(os.urandom(8))
    assert proof("stamp", "a").exit_code == 0
    server.seal()
    done = proof("stamp", "a", "--wait")
    assert done.exit_code == 1
    assert "--force replaces it" in done.stderr
    assert place.read_bytes() == earlier
    assert proof("stamp", "a", "--wait", "--force").exit_code == 0
    assert json.loads(place.read_bytes())["sha256"] == digest(version.read_bytes())


def test_what_waits_too_long_is_stamped_and_exits_3(proof: Proof, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    done = proof("stamp", "a", "--wait", "--timeout", "0.1")
    assert done.exit_code == 3
    assert done.stdout == f"new    {digest(b'a')}  a\n"
