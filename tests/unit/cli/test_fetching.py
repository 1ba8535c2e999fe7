"""Proofs: awaited, verified before they are written, and never over something else."""

import json
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support import anchored, signer
from tests.unit.cli.conftest import Proof
from tests.unit.cli.fake_api import Answer, FakeApi

from proof.cli import fetching

CONTENT = b"0"  # a leaf of every tree the signer builds
HASH = sha256(CONTENT).hexdigest()
OTHER = sha256(b"1").hexdigest()
PATH = f"/v1/proof/{HASH}"


def payload(sha: str = HASH) -> dict[str, Any]:
    leaves = sorted(sha256(str(n).encode()).hexdigest() for n in range(5))
    return signer.payload(leaf_index=leaves.index(sha))


def given(sha: str = HASH) -> Answer:
    return Answer(200, json.dumps(payload(sha)).encode())


def not_yet(retry_after_s: int) -> Answer:
    body = b'{"message":"not verified yet"}'
    return Answer(425, body, {"retry-after": str(retry_after_s)})


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(CONTENT)
    return path


def test_written_beside_the_file_as_it_came(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(PATH, given())
    done = proof("fetch", "report.pdf")
    assert done.exit_code == 0
    assert done.stdout == f"proof  {HASH}  report.pdf.proof.json\n"
    assert (report.parent / "report.pdf.proof.json").read_bytes() == given().body


def test_a_hash_names_its_proof(proof: Proof, api: FakeApi, tmp_path: Path) -> None:
    api.script(PATH, given())
    done = proof("fetch", HASH.upper(), "-o", "new/folder", "--json")
    assert done.exit_code == 0
    target = f"new/folder/{HASH}.proof.json"
    assert (tmp_path / target).exists()
    expected = {"sha256": HASH, "chain": "log", "proof": target, "exitCode": 0, "message": ""}
    assert json.loads(done.stdout) == {"proofs": [expected]}


def test_waits_as_long_as_told(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(PATH, not_yet(0), not_yet(1), given())
    started = time.monotonic()
    assert proof("fetch", "report.pdf").exit_code == 0
    assert time.monotonic() - started >= 1
    assert len(api.asked) == 3


@pytest.mark.parametrize("options", [("--no-wait",), ("--timeout", "30")])
def test_does_not_wait_for_what_comes_after_the_deadline(
    proof: Proof, api: FakeApi, report: Path, options: tuple[str, ...]
) -> None:
    api.script(PATH, not_yet(3600))
    done = proof("fetch", "report.pdf", *options)  # waiting would outlast the test's time limit
    assert done.exit_code == 3
    assert len(api.asked) == 1
    assert "not verified yet; try again in 3600 s" in done.stderr
    assert list(report.parent.iterdir()) == [report]


def test_a_chains_estimate_is_not_waited_out(
    proof: Proof, api: FakeApi, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks come sooner than on average, too."""
    monkeypatch.setattr(fetching, "_LONGEST_PAUSE_S", 0.01)
    api.script(PATH, not_yet(3600), given())
    assert proof("fetch", "report.pdf").exit_code == 0
    assert len(api.asked) == 2


def test_one_failure_does_not_stop_the_others(proof: Proof, api: FakeApi, tmp_path: Path) -> None:
    api.script(PATH, given())
    done = proof("fetch", OTHER, HASH, "--json")
    assert done.exit_code == 1
    assert [one["exitCode"] for one in json.loads(done.stdout)["proofs"]] == [1, 0]
    assert (tmp_path / f"{HASH}.proof.json").exists()


def test_a_failure_outweighs_a_wait(proof: Proof, api: FakeApi) -> None:
    api.script(PATH, not_yet(3600))
    assert proof("fetch", OTHER, HASH).exit_code == 1


def test_a_refused_key_ends_it_all(proof: Proof, api: FakeApi) -> None:
    api.script(PATH, Answer(401, b'{"message":"no"}'))
    done = proof("fetch", HASH, OTHER)
    assert done.exit_code == 4
    assert "check PROOF_API_KEY" in done.stderr


def forged() -> bytes:
    proof = payload()
    proof["branch"]["leftSha256"] = "0" * 64
    return json.dumps(proof).encode()


@pytest.mark.parametrize(
    "body", [forged(), given(OTHER).body, b"{}", b"", b" " * 1_048_577], ids=range(5)
)
def test_what_is_no_proof_of_it_is_not_written(
    proof: Proof, api: FakeApi, report: Path, body: bytes
) -> None:
    api.script(PATH, Answer(200, body))
    assert proof("fetch", "report.pdf").exit_code == 1
    assert list(report.parent.iterdir()) == [report]


@pytest.mark.parametrize("kept", [given(OTHER).body, b"my notes"], ids=["other", "notes"])
def test_something_else_in_its_place_is_kept_unless_forced(
    proof: Proof, api: FakeApi, report: Path, kept: bytes
) -> None:
    place = report.with_name("report.pdf.proof.json")
    place.write_bytes(kept)
    api.script(PATH, given())
    done = proof("fetch", "report.pdf")
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert place.read_bytes() == kept
    assert proof("fetch", "report.pdf", "--force").exit_code == 0
    assert place.read_bytes() == given().body


def test_an_earlier_proof_of_it_is_replaced(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(PATH, given())
    assert [proof("fetch", "report.pdf").exit_code for _ in range(2)] == [0, 0]


def test_two_proofs_for_one_name_are_wrong_usage(proof: Proof, api: FakeApi, report: Path) -> None:
    (report.parent / "sub").mkdir()
    (report.parent / "sub" / "report.pdf").write_bytes(b"1")
    done = proof("fetch", "report.pdf", "sub/report.pdf", "-o", "proofs")
    assert done.exit_code == 2
    assert "leave out -o" in done.stderr
    assert not api.asked


def test_a_place_that_cannot_be_written_is_told(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(PATH, given())
    done = proof("fetch", HASH, "-o", "report.pdf/sub")
    assert done.exit_code == 1
    assert "cannot write the proof" in done.stderr


@pytest.mark.parametrize(("states", "code"), [([0], 3), ([1, 2], 3), ([0, 3], 0), ([], 3)])
def test_status_exits_by_the_best_tree(
    proof: Proof, api: FakeApi, states: list[int], code: int
) -> None:
    trees = [
        {"treeId": f"t{n}", "currencyId": n, "currency": f"C{n}", "submitStatus": state}
        for n, state in enumerate(states)
    ]
    api.script(
        f"/v1/timestamp/{HASH}",
        Answer(200, json.dumps({"dateCreated": 1_700_000_000_000, "trees": trees}).encode()),
    )
    done = proof("status", HASH)
    assert done.exit_code == code
    assert "2023-11-14T22:13:20.000+00:00" in done.stdout
    assert all(f"t{n}" in done.stdout for n in range(len(states)))
    found = json.loads(proof("status", HASH, "--json").stdout)
    assert found == {"sha256": HASH, "dateCreated": 1_700_000_000_000, "trees": trees}


def test_status_of_a_strange_server_is_harmless(proof: Proof, api: FakeApi) -> None:
    tree = {"treeId": "[red]\x1b[2J", "currencyId": 0, "currency": "X", "submitStatus": 9}
    tree |= {"timestamp": 10**18}
    body = {"dateCreated": -(10**17), "trees": [tree]}
    api.script(f"/v1/timestamp/{HASH}", Answer(200, json.dumps(body).encode()))
    done = proof("status", HASH)
    assert done.exit_code == 3
    assert "[red]\\x1b[2J" in done.stdout
    assert "unknown" in done.stdout


def test_status_is_a_line_a_tree_and_nothing_is_cut_off(proof: Proof, api: FakeApi) -> None:
    tree = {"treeId": "t" * 60, "currencyId": 0, "currency": "X", "submitStatus": 2}
    tree |= {"timestamp": 0, "transaction": "f" * 64}
    body = {"dateCreated": 0, "trees": [tree]}
    api.script(f"/v1/timestamp/{HASH}", Answer(200, json.dumps(body).encode()))
    titles, line = proof("status", HASH).stdout.splitlines()[2:]
    assert titles.split() == ["chain", "state", "time", "transaction", "tree"]
    assert titles.index("transaction") == line.index("f" * 64)
    assert line.endswith("t" * 60)


def test_a_proof_is_verified_from_standard_input(proof: Proof, report: Path) -> None:
    for arguments, given in ((("-",), payload()), (("report.pdf", "-"), payload())):
        raw = json.dumps(given).encode()
        assert proof("verify", *arguments, given=raw).exit_code == 3
        assert proof("verify", *arguments, given=b"").exit_code == 1
    (report.parent / "p.proof.json").write_text(json.dumps(payload()))
    assert proof("verify", "-", "p.proof.json", given=CONTENT).exit_code == 3
    assert proof("verify", "-", "p.proof.json", given=b"other").exit_code == 1
    assert proof("verify", "-", "--files", ".", given=b"{}").exit_code == 2


def status(*currency_ids: int) -> Answer:
    trees = [
        {"treeId": "t", "currencyId": each, "currency": "X", "submitStatus": 3}
        for each in currency_ids
    ]
    return Answer(200, json.dumps({"dateCreated": 1, "trees": trees}).encode())


def test_each_chain_has_a_place_of_its_own(proof: Proof, api: FakeApi, report: Path) -> None:
    bitcoin = json.dumps(anchored.bitcoin().payload).encode()
    sha256 = anchored.bitcoin().payload["sha256"]
    api.script(f"/v1/proof/{sha256}?currencyId=0", Answer(200, bitcoin))
    done = proof("fetch", sha256, "--chain", "btc")
    assert (done.exit_code, done.stdout) == (0, f"proof  {sha256}  {sha256}.btc.proof.json\n")
    assert (report.parent / f"{sha256}.btc.proof.json").read_bytes() == bitcoin


def test_another_chains_proof_is_refused(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(f"{PATH}?currencyId=1", given())
    done = proof("fetch", "report.pdf", "--chain", "eth")
    assert done.exit_code == 1
    assert "currencyId 900, not of eth" in done.stderr
    assert [one.name for one in report.parent.iterdir()] == ["report.pdf"]


def test_all_chains_are_those_the_hash_is_in(proof: Proof, api: FakeApi, report: Path) -> None:
    api.script(f"/v1/timestamp/{HASH}", status(0, 900))
    api.script(PATH, given())
    api.script(f"{PATH}?currencyId=0", not_yet(600))
    done = proof("fetch", "report.pdf", "--chain", "all", "--json")
    assert done.exit_code == 3
    told = [(one["chain"], one["exitCode"]) for one in json.loads(done.stdout)["proofs"]]
    assert told == [("btc", 3), ("log", 0)]
    assert (report.parent / "report.pdf.proof.json").exists()
    assert proof("fetch", OTHER, "--chain", "all").exit_code == 1
