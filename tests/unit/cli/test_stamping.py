"""Few requests, exact acknowledgements, manifests in their place."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import signer
from tests.unit.cli.conftest import Proof
from tests.unit.cli.fake_api import Answer, FakeApi

from proof.cli.stamping import chunks

TREES = [{"treeId": "t", "currencyId": 900, "currency": "LOG"}]


def acknowledged(*new: str, existing: tuple[str, ...] = ()) -> Answer:
    body = {"sha256": new, "dateCreated": 1, "trees": TREES, "existing": existing}
    return Answer(200, json.dumps(body).encode())


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@given(st.integers(0, 100), st.integers(1, 20))
def test_chunks_are_all_and_as_few_as_can_be(count: int, size: int) -> None:
    digests = [str(n) for n in range(count)]
    found = list(chunks(digests, size))
    assert [one for chunk in found for one in chunk] == digests
    assert len(found) == -(-count // size)
    assert all(len(chunk) <= size for chunk in found)


def test_the_largest_request_fits_its_limits() -> None:
    largest = next(iter(chunks(["a" * 64] * 25_000)))
    assert len(largest) == 10_000
    assert len(json.dumps({"sha256": largest})) <= 1024 * 1024


def test_thousands_of_files_are_few_requests(proof: Proof, api: FakeApi, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1_500):
        (folder / f"{number:05}").write_bytes(b"%d" % number)
    api.acknowledge_everything = True
    assert proof("stamp", folder).exit_code == 0
    assert [len(json.loads(asked.body)["sha256"]) for asked in api.asked] == [1_501]


def test_each_hash_is_submitted_once(proof: Proof, api: FakeApi, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    same = digest(b"same")
    api.script("/v1/timestamp", acknowledged(same))
    done = proof("stamp", "a", "b", "--sha256", same.upper(), "--json")
    assert done.exit_code == 0
    assert json.loads(api.asked[0].body) == {"sha256": [same]}
    assert [file["path"] for file in json.loads(done.stdout)["files"]] == ["a", "b"]


def test_new_and_known_are_told_apart(proof: Proof, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    api.script("/v1/timestamp", acknowledged(digest(b"a"), existing=(digest(b"b"),)))
    done = proof("stamp", "a", "b")
    assert done.stdout == f"new    {digest(b'a')}  a\nknown  {digest(b'b')}  b\n"
    assert "2 hashes stamped: 1 new, 1 known" in done.stderr
    assert "proof fetch" in done.stderr


@pytest.mark.parametrize("answered", [(), ("b" * 64,), ("a" * 64, "b" * 64)])
def test_an_answer_about_other_hashes_is_no_acknowledgement(
    proof: Proof, api: FakeApi, answered: tuple[str, ...]
) -> None:
    api.script("/v1/timestamp", acknowledged(*answered))
    done = proof("stamp", "--sha256", "a" * 64)
    assert done.exit_code == 1
    assert "did not acknowledge" in done.stderr


def test_what_cannot_be_read_is_told_and_the_rest_stamped(
    proof: Proof, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    api.script("/v1/timestamp", acknowledged(digest(b"a")))
    done = proof("stamp", "gone", "a")
    assert done.exit_code == 1
    assert "cannot read gone: No such file or directory" in done.stderr
    assert digest(b"a") in done.stdout


def test_the_only_file_is_named_when_it_cannot_be_read(proof: Proof) -> None:
    done = proof("stamp", "nofile")
    assert done.exit_code == 1
    assert "cannot read nofile: " in done.stderr
    assert "nothing to stamp could be read" in done.stderr


def test_a_failure_midway_says_how_far_it_came(
    proof: Proof, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.cli.stamping.chunks", lambda digests: [[d] for d in digests])
    api.script("/v1/timestamp", acknowledged("a" * 64), Answer(500, headers={"x-request-id": "r7"}))
    done = proof("stamp", "--sha256", "a" * 64, "--sha256", "b" * 64)
    assert done.exit_code == 1
    assert "r7" in done.stderr
    assert "1 of 2 hashes are stamped; running this again is safe" in done.stderr


def test_nothing_to_stamp_asks_no_server(proof: Proof, api: FakeApi) -> None:
    assert proof("stamp").exit_code == 2
    assert proof("stamp", "gone").exit_code == 1
    assert proof("stamp", "--sha256", "abc").exit_code == 2
    assert not api.asked


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a", "a/b"), "would lie inside a folder"),
        (("a", "--manifest", "a/m.json"), "would lie inside a folder"),
        (("a", "--manifest", "a/../a/m.json"), "would lie inside a folder"),
        (("a", "c", "--manifest", "m.json"), "one folder"),
        (("file", "--manifest", "m.json"), "one folder"),
        (("/",), "give --manifest"),
    ],
)
def test_manifests_have_a_place_of_their_own(
    proof: Proof, api: FakeApi, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "file").write_bytes(b"")
    done = proof("stamp", *arguments)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert not api.asked


@pytest.mark.parametrize("named", [".", "../here", "../here/", "sub/.."])
def test_the_manifest_is_named_after_the_folder(
    proof: Proof, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    empty = digest(b'{"files":[],"type":"proof-manifest","version":1}')
    api.script("/v1/timestamp", acknowledged(empty))
    assert proof("stamp", named).exit_code == 0
    assert [path.name for path in tmp_path.glob("*.proof-manifest.json")] == [
        "here.proof-manifest.json"
    ]


def test_waiting_replaces_the_proof_of_an_earlier_version_only_when_forced(
    proof: Proof, api: FakeApi, tmp_path: Path
) -> None:
    leaves = sorted(digest(str(n).encode()) for n in range(5))
    now = json.dumps(signer.payload(leaf_index=leaves.index(digest(b"0")))).encode()
    earlier = json.dumps(signer.payload(leaf_index=leaves.index(digest(b"1")))).encode()
    (tmp_path / "a").write_bytes(b"0")
    place = tmp_path / "a.proof.json"
    place.write_bytes(earlier)
    api.script("/v1/timestamp", acknowledged(digest(b"0")))
    api.script(f"/v1/proof/{digest(b'0')}", Answer(200, now))
    assert proof("stamp", "a", "--wait").exit_code == 1
    assert place.read_bytes() == earlier
    assert proof("stamp", "a", "--wait", "--force").exit_code == 0
    assert place.read_bytes() == now


def test_what_waits_too_long_is_stamped_and_exits_3(
    proof: Proof, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    api.script("/v1/timestamp", acknowledged(digest(b"a")))
    later = Answer(425, b'{"message":"later"}', {"retry-after": "9"})
    api.script(f"/v1/proof/{digest(b'a')}", later)
    done = proof("stamp", "a", "--wait", "--timeout", "0.1")
    assert done.exit_code == 3
    assert done.stdout == f"new    {digest(b'a')}  a\n"
