"""proof ots: upgrading from calendars of others, exporting, and what the real client says of the result."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support import anchored
from tests.support.fake_node import fake_node
from tests.support.middleman import Answer, Middleman, middleman
from typer.testing import CliRunner, Result

from proof.cli.proofs import ots as ots_commands
from proof.cli.proofs import verifying
from proof.verify import verify_ots
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.format import parse_ots
from proof.verify.evidence.ots.writing import write_timestamp

ANCHORED = anchored.bitcoin()
LOOPBACK = ("--open-network", "127.0.0.0/8")
FILE = Path("report.pdf.ots")


@pytest.fixture
def calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Middleman]:
    """A calendar of somebody else's."""
    monkeypatch.chdir(tmp_path)
    with middleman() as fake:
        yield fake


def run(*arguments: object) -> Result:
    app = typer.Typer()
    ots_commands.register(app)
    verifying.register(app)
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def pending(*uris: str) -> None:
    """A file that is pending, one operation from its digest, at each of the calendars."""
    promises = [ots.pending_attestation(uri) for uri in uris]
    end = ots.Timestamp(message(), tuple(promises), ())
    branch = ots.Branch(((ots.APPEND, b"nonce"), (ots.SHA256, b"")), end)
    digest = bytes.fromhex(ANCHORED.payload["sha256"])
    head = ots.MAGIC + b"\x01\x08" + digest
    FILE.write_bytes(head + write_timestamp(ots.Timestamp(digest, (), (branch,))))


def message() -> bytes:
    digest = bytes.fromhex(ANCHORED.payload["sha256"])
    return ots.apply_operation((ots.SHA256, b""), digest + b"nonce")


def path() -> str:
    return f"/timestamp/{message().hex()}"


COMPLETE = b"\x08" + b"\x00" + ots.BITCOIN_TAG + b"\x01\x07"


def upgrade(*options: object) -> Result:
    return run("ots", "upgrade", FILE, *LOOPBACK, *options)


def test_a_calendar_has_it(calendar: Middleman) -> None:
    pending(calendar.url)
    calendar.answers[path()] = Answer(200, COMPLETE)
    result = upgrade("--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    assert (facts["heights"], facts["pending"], facts["unasked"]) == ([7], [], [])
    established = verify_ots(FILE.read_bytes())
    assert [found.height for found in established.bitcoin] == [7]
    assert [found.uri for found in established.pending] == [calendar.url]
    before = FILE.read_bytes()
    assert "in Bitcoin, by the file's word, at height 7" in upgrade().stdout
    assert FILE.read_bytes() == before


def test_a_calendar_has_nothing_yet(calendar: Middleman) -> None:
    pending(calendar.url)
    before = FILE.read_bytes()
    calendar.answers[path()] = Answer(404, b"Pending")
    result = upgrade()
    assert result.exit_code == 3
    assert f"pending at {calendar.url}; ask again later" in result.stdout
    assert FILE.read_bytes() == before


def test_a_calendar_passes_on_to_another(calendar: Middleman) -> None:
    pending(calendar.url)
    second = ots.pending_attestation(f"{calendar.url}/second")
    further = ots.apply_operation((ots.SHA256, b""), message())
    promise = b"\x08\x00" + second.tag + bytes([len(second.payload)]) + second.payload
    calendar.answers[path()] = Answer(200, promise)
    calendar.answers[f"/second/timestamp/{further.hex()}"] = Answer(200, COMPLETE)
    result = upgrade("--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["heights"] == [7]


def promise(uri: str) -> bytes:
    end = ots.pending_attestation(uri)
    return b"\x00" + end.tag + bytes([len(end.payload)]) + end.payload


@pytest.fixture
def ordinary_stack() -> Iterator[None]:
    """The recursion limit that the program runs under; a library of the tests raises it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("ordinary_stack")
def test_a_file_of_as_many_forks_as_there_may_be(calendar: Middleman) -> None:
    digest = bytes.fromhex(ANCHORED.payload["sha256"])
    there = promise("http://127.0.0.1:1")
    forks = (b"\xff" + there + b"\x08") * ots.MAX_DEPTH + there
    raw = ots.MAGIC + b"\x01\x08" + digest + forks
    FILE.write_bytes(raw)
    result = run("ots", "upgrade", FILE)
    assert result.exit_code == 4
    assert FILE.read_bytes() == raw


@pytest.mark.usefixtures("ordinary_stack")
def test_calendars_that_lead_ever_deeper_are_refused(calendar: Middleman) -> None:
    pending(calendar.url)
    deeper = (b"\xff" + COMPLETE[1:] + b"\x08") * 250
    at = message()
    for here, there in (("", "/2"), ("/2", "/3"), ("/3", "/4")):
        answer = Answer(200, deeper + promise(calendar.url + there))
        calendar.answers[f"{here}/timestamp/{at.hex()}"] = answer
        for _ in range(250):
            at = ots.apply_operation((ots.SHA256, b""), at)
    before = FILE.read_bytes()
    result = upgrade()
    assert result.exit_code == 1
    assert "operations follow one another" in result.stderr
    assert FILE.read_bytes() == before


def test_one_of_two_calendars_is_enough(calendar: Middleman) -> None:
    pending(calendar.url, "http://127.0.0.1:1")
    calendar.answers[path()] = Answer(200, COMPLETE)
    result = upgrade("--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["failures"]) == 1


WRONG: dict[str, tuple[Answer, str]] = {
    "cut": (Answer(200, COMPLETE[:-1]), "answer is wrong"),
    "nothing": (Answer(200, b""), "answer is wrong"),
    "unknown operation": (Answer(200, b"\x09" + COMPLETE), "answer is wrong"),
    "too long": (Answer(200, b"\x00" * 10_001), "more than a timestamp"),
    "an error": (Answer(500, b"\x1b[2J"), "status 500"),
    "a redirect": (Answer(302, b"", {"location": "http://127.0.0.1:1/"}), "status 302"),
    "a page": (Answer(200, b"<html>"), "answer is wrong"),
    "depth bomb": (Answer(200, b"\x08" * 260 + COMPLETE), "answer is wrong"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_calendar_sends_something_wrong(calendar: Middleman, fault: str) -> None:
    pending(calendar.url)
    before = FILE.read_bytes()
    answer, expected = WRONG[fault]
    calendar.answers[path()] = answer
    result = upgrade()
    assert result.exit_code == 1
    assert expected in result.stderr
    assert "\x1b" not in result.output
    assert FILE.read_bytes() == before


def test_only_public_addresses_are_called(calendar: Middleman) -> None:
    pending(calendar.url)
    calendar.answers[path()] = Answer(200, COMPLETE)
    result = run("ots", "upgrade", FILE)
    assert result.exit_code == 4
    assert calendar.asked == []


def test_a_calendar_that_cannot_be_reached(calendar: Middleman) -> None:
    pending("http://127.0.0.1:1")
    result = upgrade()
    assert (result.exit_code, result.stdout) == (4, "")
    assert "http://127.0.0.1:1: " in result.stderr


def test_pending_is_only_what_a_calendar_said(calendar: Middleman) -> None:
    refused = [f"https://refused{n}.example:22" for n in range(32)]
    pending(calendar.url, *refused)
    calendar.answers[path()] = Answer(404, b"Pending")
    facts = json.loads(upgrade("--json").stdout)
    assert facts["pending"] == [calendar.url]
    (unasked,) = facts["unasked"]
    assert sorted([unasked, *(fact["uri"] for fact in facts["failures"])]) == sorted(refused)
    pended, last = upgrade().stdout.splitlines()
    assert pended == f"report.pdf.ots: pending at {calendar.url}; ask again later"
    assert last.startswith(f"report.pdf.ots: {unasked} was not asked")


def test_a_file_without_calendars_says_so(calendar: Middleman) -> None:
    digest = bytes.fromhex(ANCHORED.payload["sha256"])
    unknown = ots.Attestation(b"\x01" * 8, b"?")
    FILE.write_bytes(
        ots.MAGIC + b"\x01\x08" + digest + write_timestamp(ots.Timestamp(digest, (unknown,), ()))
    )
    result = upgrade()
    assert result.exit_code == 3
    assert "names neither a Bitcoin block nor a calendar" in result.stdout


def test_what_is_no_ots_file(calendar: Middleman) -> None:
    FILE.write_bytes(b"{}")
    result = upgrade()
    assert result.exit_code == 1
    assert "is refused" in result.stderr
    assert run("ots", "upgrade", "nowhere").exit_code == 2
    pending(calendar.url)
    assert run("ots", "upgrade", FILE, "--open-network", "x").exit_code == 2


def test_a_proof_of_ours_is_exported(calendar: Middleman) -> None:
    Path("report.pdf.proof.json").write_text(json.dumps(ANCHORED.payload))
    result = run("ots", "export", "report.pdf.proof.json")
    assert (result.exit_code, result.stdout) == (0, "report.pdf.ots\n")
    assert parse_ots(FILE.read_bytes()).timestamp.message.hex() == ANCHORED.payload["sha256"]
    assert run("ots", "export", "report.pdf.proof.json").exit_code == 2
    assert run("ots", "export", "report.pdf.proof.json", "--force").exit_code == 0
    Path("eth.proof.json").write_text(json.dumps(anchored.ethereum()))
    result = run("ots", "export", "eth.proof.json")
    assert result.exit_code == 1
    assert "only a proof with bitcoin evidence" in result.stderr


def test_verify_finds_the_ots_file_beside_the_file(
    calendar: Middleman, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("report.pdf").write_bytes(b"not it")
    pending(calendar.url)
    assert run("verify", "report.pdf").exit_code == 1
    assert run("verify", "report.pdf.ots").exit_code == 3
    Path("chain.headers").write_bytes(ANCHORED.file)
    Path("p.proof.json").write_text(json.dumps(ANCHORED.payload))
    trust = ("--headers", "chain.headers", "--network", "regtest")
    assert run("verify", "p.proof.json", *trust).exit_code == 0
    assert run("verify", "p.proof.json", "--network", "regtest").exit_code == 3


def test_the_real_client_verifies_what_we_export(calendar: Middleman) -> None:
    """`ots verify` against a node on regtest, and `ots info` of the same file."""
    Path("p.proof.json").write_text(json.dumps(ANCHORED.payload))
    assert run("ots", "export", "p.proof.json").exit_code == 0
    ots_program = str(Path(sys.executable).with_name("ots"))
    with fake_node(list(ANCHORED.headers)) as node:
        address = node.url.replace("http://", "http://user:s3cret@")
        found = subprocess.run(
            [
                *(ots_program, "--btc-regtest", "--no-cache", "--bitcoin-node", address),
                *("verify", "-d", ANCHORED.payload["sha256"], "p.ots"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert found.returncode == 0, found.stderr
    assert "Success! Bitcoin block 7 attests existence" in found.stderr
