"""proof fetch and status: proofs awaited, verified before they are written, never over something else."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.db.client.conftest import Proof, Server
from tests.support.middleman import Middleman, after, with_body
from tests.support.partners import issued, revoke
from typer.testing import Result

from proof.cli.proofs import fetching
from proof.partners.types import OnboardedPartner

CONTENT = b"a report"
HASH = sha256(CONTENT).hexdigest()
OTHER = sha256(b"another").hexdigest()
PATH = f"/v1/proof/{HASH}"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def stamped(proof: Proof) -> None:
    """The report's hash and the other are the partner's, in no round yet."""
    assert proof("stamp", "--sha256", HASH, "--sha256", OTHER).exit_code == 0


@pytest.fixture
def sealed(stamped: None, server: Server) -> None:
    """Both have proofs in the log."""
    server.seal()


@pytest.fixture
def anchored(stamped: None, server: Server) -> None:
    """Both have proofs in the log and in Bitcoin."""
    server.anchor()


def about(raw: bytes) -> tuple[str, str]:
    """The hash and the chain of a proof."""
    found = json.loads(raw)
    return found["sha256"], found["tree"]["currency"]


@pytest.mark.usefixtures("sealed")
def test_written_beside_the_file_as_it_came(proof: Proof, line: Middleman, report: Path) -> None:
    came: list[bytes] = []

    def heard(body: bytes) -> bytes:
        came.append(body)
        return body

    line.faults[PATH] = [with_body(heard)]
    done = proof("fetch", "report.pdf")
    assert done.exit_code == 0
    assert done.stdout == f"proof  {HASH}  report.pdf.proof.json\n"
    assert [(report.parent / "report.pdf.proof.json").read_bytes()] == came
    assert about(came[0]) == (HASH, "LOG")


@pytest.mark.usefixtures("sealed")
def test_a_hash_names_its_proof(proof: Proof, tmp_path: Path) -> None:
    done = proof("fetch", HASH.upper(), "-o", "new/folder", "--json")
    assert done.exit_code == 0
    target = f"new/folder/{HASH}.proof.json"
    assert about((tmp_path / target).read_bytes()) == (HASH, "LOG")
    expected = {"sha256": HASH, "chain": "log", "proof": target, "exitCode": 0, "message": ""}
    assert json.loads(done.stdout) == {"proofs": [expected]}


@pytest.mark.usefixtures("sealed")
def test_a_tlog_proof_has_a_place_of_its_own(proof: Proof, line: Middleman, report: Path) -> None:
    done = proof("fetch", "report.pdf", "--tlog-proof")
    assert (done.exit_code, done.stdout) == (0, f"proof  {HASH}  report.pdf.tlog-proof\n")
    (report.parent / "log.key").write_text(proof("log", "key").stdout)
    for subject in (("report.pdf",), ("report.pdf.tlog-proof", "--sha256", HASH)):
        checked = proof("verify", *subject, "--log-key", "log.key")
        assert checked.exit_code == 0, checked.output
        assert "ends in that plain root." in checked.stdout
    assert proof("verify", "report.pdf.tlog-proof", "--sha256", OTHER).exit_code == 1
    assert proof("fetch", HASH, "-o", "new", "--tlog-proof").exit_code == 0
    assert (report.parent / f"new/{HASH}.tlog-proof").exists()
    elsewhere = proof("fetch", "report.pdf", "--tlog-proof", "--chain", "all")
    assert (elsewhere.exit_code, "leave out --chain" in elsewhere.stderr) == (2, True)
    line.faults[f"{PATH}?format=tlog-proof"] = [with_body(lambda body: body[:-2])]
    refused = proof("fetch", "report.pdf", "--tlog-proof")
    assert (refused.exit_code, "is no proof of it" in refused.stderr) == (1, True)


@pytest.mark.usefixtures("stamped")
def test_waits_as_long_as_told(proof: Proof, server: Server, line: Middleman, report: Path) -> None:
    line.faults[PATH] = [None, after(server.seal)]
    started = time.monotonic()
    assert proof("fetch", "report.pdf").exit_code == 0
    assert time.monotonic() - started >= 1
    assert line.paths().count(PATH) == 2


@pytest.mark.usefixtures("stamped", "report")
@pytest.mark.parametrize("options", [("--no-wait",), ("--timeout", "30")])
def test_does_not_wait_for_what_comes_after_the_deadline(
    proof: Proof, line: Middleman, tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = proof("fetch", "report.pdf", "--chain", "btc", *options)
    assert done.exit_code == 3
    assert line.paths().count(f"{PATH}?currencyId=0") == 1
    assert "try again in" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.pdf"]


@pytest.mark.usefixtures("stamped")
def test_a_chains_estimate_is_not_waited_out(
    proof: Proof,
    server: Server,
    line: Middleman,
    report: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks come sooner than on average, too."""
    monkeypatch.setattr(fetching, "_LONGEST_PAUSE_S", 0.01)
    path = f"{PATH}?currencyId=0"
    line.faults[path] = [None, after(server.anchor)]
    assert proof("fetch", "report.pdf", "--chain", "btc").exit_code == 0
    assert line.paths().count(path) == 2
    assert about(report.with_name("report.pdf.btc.proof.json").read_bytes()) == (HASH, "BTC")


@pytest.mark.usefixtures("sealed")
def test_a_failure_stops_no_other_and_outweighs_a_wait(proof: Proof, tmp_path: Path) -> None:
    late, unknown = sha256(b"late").hexdigest(), sha256(b"unknown").hexdigest()
    assert proof("stamp", "--sha256", late).exit_code == 0
    done = proof("fetch", unknown, late, HASH, "--no-wait", "--json")
    assert done.exit_code == 1
    assert [load["exitCode"] for load in json.loads(done.stdout)["proofs"]] == [1, 3, 0]
    assert (tmp_path / f"{HASH}.proof.json").exists()


@pytest.mark.usefixtures("sealed")
def test_a_refused_key_ends_it_all(
    proof: Proof, server: Server, partner: OnboardedPartner, tmp_path: Path
) -> None:
    server.act(revoke, issued(partner).api_key)
    done = proof("fetch", HASH, OTHER)
    assert done.exit_code == 4
    assert "check PROOF_API_KEY" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _forged(raw: bytes) -> bytes:
    proof = json.loads(raw)
    proof["branch"]["leftSha256"] = "0" * 64
    return json.dumps(proof).encode()


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(
    "change",
    [_forged, lambda _: b"{}", lambda _: b"", lambda _: b" " * 1_048_577],
    ids=["forged", "no proof", "nothing", "too much"],
)
def test_what_is_no_proof_is_not_written(
    proof: Proof, line: Middleman, report: Path, change: Callable[[bytes], bytes]
) -> None:
    line.faults[PATH] = [with_body(change)]
    assert proof("fetch", "report.pdf").exit_code == 1
    assert list(report.parent.iterdir()) == [report]


@pytest.mark.usefixtures("anchored")
@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        (PATH, f"/v1/proof/{OTHER}", f"it is about {OTHER}"),
        (f"{PATH}?currencyId=0", PATH, "currencyId 900, not of btc"),
    ],
)
def test_the_proof_of_something_else_is_not_written(
    proof: Proof, line: Middleman, report: Path, path: str, given: str, said: str
) -> None:
    """Somebody between hands out another proof of the same partner's."""
    line.faults[path] = [
        lambda _pass_on: line.answer(replace(line.asked[-1], path=given)),
    ]
    done = proof("fetch", "report.pdf", "--chain", "btc" if "?" in path else "log")
    assert done.exit_code == 1
    assert said in done.stderr
    assert list(report.parent.iterdir()) == [report]


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("kept", ["another's proof", "notes"])
def test_something_else_in_its_place_is_kept_unless_forced(
    proof: Proof, report: Path, kept: str
) -> None:
    place = report.with_name("report.pdf.proof.json")
    if kept == "notes":
        place.write_bytes(b"my notes")
    else:
        assert proof("fetch", OTHER).exit_code == 0
        report.with_name(f"{OTHER}.proof.json").rename(place)
    before = place.read_bytes()
    done = proof("fetch", "report.pdf")
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert place.read_bytes() == before
    assert proof("fetch", "report.pdf", "--force").exit_code == 0
    assert about(place.read_bytes()) == (HASH, "LOG")


@pytest.mark.usefixtures("sealed", "report")
def test_an_earlier_proof_of_it_is_replaced(proof: Proof) -> None:
    assert [proof("fetch", "report.pdf").exit_code for _ in range(2)] == [0, 0]


@pytest.mark.usefixtures("sealed", "report")
def test_a_place_that_cannot_be_written_is_told(proof: Proof) -> None:
    done = proof("fetch", HASH, "-o", "report.pdf/sub")
    assert done.exit_code == 1
    assert "cannot write the proof" in done.stderr


def lines(done: Result) -> list[list[str]]:
    """The table of a status: its titles, and a line a tree."""
    return [line.split() for line in done.stdout.splitlines()[2:]]


@pytest.mark.usefixtures("stamped")
def test_status_exits_by_the_best_tree(proof: Proof, server: Server) -> None:
    """Nothing verified; the log alone; both chains."""
    submitted = proof("status", HASH)
    assert submitted.exit_code == 3
    server.seal()
    logged = proof("status", HASH)
    assert logged.exit_code == 0
    assert {(row[0], row[1]) for row in lines(logged)[1:]} == {
        ("BTC", "unsubmitted"),
        ("LOG", "verified"),
    }
    server.anchor()
    both = proof("status", HASH)
    assert both.exit_code == 0
    assert {(row[0], row[1]) for row in lines(both)[1:]} == {
        ("BTC", "verified"),
        ("LOG", "verified"),
    }
    told = json.loads(proof("status", HASH, "--json").stdout)
    assert told["sha256"] == HASH
    assert {tree["currency"]: tree["submitStatus"] for tree in told["trees"]} == {
        "BTC": 3,
        "LOG": 3,
    }


@pytest.mark.usefixtures("anchored")
def test_status_is_a_line_a_tree_and_nothing_is_cut_off(proof: Proof) -> None:
    told = {
        tree["currency"]: tree
        for tree in json.loads(proof("status", HASH, "--json").stdout)["trees"]
    }
    titles, *rows = proof("status", HASH).stdout.splitlines()[2:]
    assert titles.split() == ["chain", "state", "time", "transaction", "tree"]
    (row,) = (row for row in rows if row.startswith("BTC"))
    transaction = told["BTC"]["transaction"]
    assert len(transaction) == 64
    assert titles.index("transaction") == row.index(transaction)
    assert row.endswith(told["BTC"]["treeId"])


@pytest.mark.usefixtures("anchored", "report")
def test_each_chain_has_a_place_of_its_own(proof: Proof, tmp_path: Path) -> None:
    done = proof("fetch", HASH, "--chain", "btc")
    assert (done.exit_code, done.stdout) == (0, f"proof  {HASH}  {HASH}.btc.proof.json\n")
    assert about((tmp_path / f"{HASH}.btc.proof.json").read_bytes()) == (HASH, "BTC")


@pytest.mark.usefixtures("sealed")
def test_all_chains_are_those_the_hash_is_in(proof: Proof, report: Path) -> None:
    done = proof("fetch", "report.pdf", "--chain", "all", "--no-wait", "--json")
    assert done.exit_code == 3
    told = [(load["chain"], load["exitCode"]) for load in json.loads(done.stdout)["proofs"]]
    assert told == [("btc", 3), ("log", 0)]
    assert (report.parent / "report.pdf.proof.json").exists()
    unknown = proof("fetch", "f" * 64, "--chain", "all")
    assert unknown.exit_code == 1
    assert "`proof stamp` it first" in unknown.stderr
