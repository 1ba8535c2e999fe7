"""The program on chains and .ots files: exit codes, words and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import anchored

from proof.verify import to_ots
from proof.verify.cli import main
from proof.verify.evidence.ots.format import KECCAK256, MAGIC

VECTORS = Path(__file__).parents[2] / "vectors"
CONTENT = b"1"
ANCHORED = anchored.bitcoin(leaf_index=2)
HEADER = bytes.fromhex(ANCHORED.payload["evidence"]["header"])
BLOCK = anchored.double_sha256(HEADER)[::-1].hex()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Bitcoin proof, an Ethereum proof, an .ots file, and headers."""
    monkeypatch.chdir(tmp_path)
    Path("btc.json").write_text(json.dumps(ANCHORED.payload))
    Path("eth.json").write_text(json.dumps(anchored.ethereum()))
    Path("btc.ots").write_bytes(to_ots(ANCHORED.payload))
    Path("regtest.headers").write_bytes(ANCHORED.file)
    Path("hello.txt").write_text("Hello World!\n")
    vectors = json.loads((VECTORS / "ots.json").read_text())
    Path("hello.txt.ots").write_bytes(bytes.fromhex(vectors["hello_world"]["ots"]))
    Path("incomplete.ots").write_bytes(bytes.fromhex(vectors["incomplete"]["ots"]))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


HEADERS = ("--headers", "regtest.headers", "--network", "regtest")


def test_a_bitcoin_proof_with_headers(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "btc.json", *HEADERS)
    assert code == 0
    assert "of block " + BLOCK in out
    assert "ok  The block is the one at height 7 of the headers you gave" in out
    assert "Not established" not in out
    assert out.count("ok  ") == 7


def test_a_bitcoin_proof_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "btc.json", *HEADERS, "--json")
    facts: dict[str, Any] = json.loads(out)
    assert (code, facts["result"], facts["exitCode"]) == (0, "tied", 0)
    assert facts["bitcoin"] == {
        "network": "regtest",
        "height": 7,
        "block": BLOCK,
        "transaction": ANCHORED.payload["tree"]["transaction"],
        "timestamp": ANCHORED.payload["tree"]["timestamp"],
        "work": "2",
        "chainWork": "24",
        "tiedBy": "headers",
        "plainRoot": ANCHORED.payload["evidence"]["transaction"][-72:-8],
        "plainPath": True,
    }
    assert facts["timestamp"] == ANCHORED.payload["tree"]["timestamp"]
    assert facts["log"] is facts["ethereum"] is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("btc.json", "the plain root (RFC 9162) by which .ots files go; the plain path"),
        ("pathless.json", "it was not checked, and nothing above rests on it"),
        ("eth.json", "it was not checked, and nothing above rests on it"),
        ("foreign.json", None),
    ],
)
def test_the_second_half_is_told_in_words(
    capsys: pytest.CaptureFixture[str], name: str, said: str | None
) -> None:
    pathless = ANCHORED.changed()
    del pathless["evidence"]["plainPath"]
    Path("pathless.json").write_text(json.dumps(pathless))
    Path("foreign.json").write_text(json.dumps(anchored.bitcoin(foreign=True).payload))
    code, out, _ = run(capsys, name, "--network", "regtest")
    assert code == 3
    if said is None:
        assert "behind it" not in out
    else:
        assert "and behind it" in out
        assert said in out
        assert ("not checked" in out) is (name != "btc.json")


def test_a_bitcoin_proof_with_a_block_hash(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "btc.json", "--bitcoin-block", BLOCK, "--network", "regtest")
    assert code == 0
    assert "The block's hash is one you gave" in out


def test_a_lone_header_is_not_enough(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "btc.json", "--network", "regtest")
    assert code == 3
    assert "Not established: Nothing you gave says that Bitcoin's regtest network has" in out


def test_a_test_network_is_refused_unless_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "btc.json", "--json")
    assert code == 1
    assert json.loads(out)["error"] == "OtherNetworkError"


def test_an_ethereum_proof(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "eth.json", "--json")
    facts = json.loads(out)
    assert (code, facts["result"]) == (3, "untied")
    block = facts["ethereum"].pop("block")
    tree, evidence = (anchored.ethereum()[name] for name in ("tree", "evidence"))
    assert facts["ethereum"] == {
        "chainId": evidence["chainId"],
        "number": 19,
        "transaction": tree["transaction"],
        "index": evidence["index"],
        "timestamp": tree["timestamp"],
        "tiedBy": None,
        "plainRoot": facts["ethereum"]["plainRoot"],
    }
    assert facts["ethereum"]["plainRoot"] in "".join(evidence["proof"])
    for spelled in (block, block.removeprefix("0x").upper()):
        code, out, _ = run(capsys, "eth.json", "--ethereum-block", spelled)
        assert code == 0
        assert "Established: what has SHA-256" in out
        assert "existed by 2026-02-02T02:40:00Z, the time of block 19 of Ethereum's chain" in out
        assert "ok  The block's hash is one you gave." in out
    code, out, _ = run(capsys, "eth.json", "--ethereum-block", "00" * 32)
    assert code == 3
    assert "--  The block's hash is none that you gave." in out


def test_an_ots_file_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "btc.ots")[0] == 3
    code, out, _ = run(capsys, "btc.ots", *HEADERS, "--sha256", ANCHORED.payload["sha256"])
    assert code == 0
    assert "the Merkle root of block 7 of the regtest headers you gave" in out
    code, out, _ = run(capsys, "btc.ots", *HEADERS, "--json")
    facts = json.loads(out)
    assert (facts["format"], facts["sha256"]) == ("ots", ANCHORED.payload["sha256"])
    assert facts["attestations"][0]["tied"] is True


def test_a_sha256_is_not_compared_with_another_kind_of_digest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = Path("btc.ots").read_bytes()
    at = len(MAGIC) + 1
    Path("keccak.ots").write_bytes(raw[:at] + bytes((KECCAK256,)) + raw[at + 1 :])
    given = ("--sha256", ANCHORED.payload["sha256"])
    code, out, _ = run(capsys, "keccak.ots", *HEADERS, *given)
    assert code == 1
    assert "keccak256" in out
    assert run(capsys, "keccak.ots", *HEADERS)[0] == 0


def test_a_foreign_ots_file_and_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "hello.txt", "hello.txt.ots")
    assert code == 3
    assert "ok  'hello.txt' is what the proof is about." in out
    assert "block 358391" in out
    code, out, _ = run(capsys, "eth.json", "hello.txt.ots", "--json")
    assert (code, json.loads(out)["error"]) == (1, "SubjectMismatchError")


def test_a_pending_ots_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "incomplete.ots")
    assert code == 3
    assert "has promised an attestation" in out
    facts = json.loads(run(capsys, "incomplete.ots", "--json")[1])
    assert facts["attestations"][0]["type"] == "pending"


@pytest.mark.parametrize(
    ("operation", "digest"),
    [
        (b"\x02", "356a192b7913b04c54574d18c28d46e6395428ab"),
        (b"\x03", "c47907abd2a80492ca9388b05c0e382518ff3960"),
        (b"\x67", "c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6"),
    ],
)
def test_files_hashed_otherwise(
    operation: bytes, digest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = Path("incomplete.ots").read_bytes()
    Path("one").write_bytes(b"1")
    Path("one.ots").write_bytes(raw[:32] + operation + bytes.fromhex(digest) + raw[65:])
    code, out, _ = run(capsys, "one", "one.ots", "--json")
    assert code == 3, out
    facts = json.loads(out)
    assert facts["compared"] is True
    assert facts["sha256"] is None
    assert run(capsys, "hello.txt", "one.ots")[0] == 1


def test_a_damaged_ots_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("cut.ots").write_bytes(Path("btc.ots").read_bytes()[:-4])
    code, out, _ = run(capsys, "cut.ots", "--json")
    assert (code, json.loads(out)["error"]) == (1, "OtsTruncatedError")


USAGE = {
    "no header file": (["btc.json", "--headers", "nowhere"], "cannot read"),
    "empty header file": (["btc.json", "--headers", "empty"], "cannot read"),
    "no headers at all": (["btc.json", "--headers", "btc.json"], "is refused: the header file"),
    "cut header file": (["btc.json", "--headers", "cut.headers"], "end within a header"),
    "test headers without their name": (
        ["btc.json", "--headers", "regtest.headers"],
        "--network NAME",
    ),
    "unknown network": (["btc.json", "--network", "liquid"], "no network 'liquid'"),
    "block hash too short": (["btc.json", "--bitcoin-block", "00"], "not 64 hex digits"),
    "block hash without digits": (["eth.json", "--ethereum-block", "0x" + "g" * 64], "not 64 hex"),
}


@pytest.mark.parametrize("fault", USAGE)
def test_wrong_usage(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").touch()
    Path("cut.headers").write_bytes(ANCHORED.file[:-1])
    arguments, expected = USAGE[fault]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert expected in err
