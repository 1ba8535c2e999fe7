"""proof log monitor and mirror, as whoever runs them sees them."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from standardwebhooks import Webhook
from tests.support.fake_log import StaticServer, checkpoint, log_files, some, static_server
from tests.support.receiver import Receiver, Reply
from tests.support.relay import relay
from tests.support.signer import LOG, WITNESS
from tests.unit.cli.conftest import Proof
from tests.unit.follow.test_mirror import require_whole
from tests.unit.follow.test_monitor import GROWN, MISBEHAVIOUR
from typer.testing import CliRunner, Result

from proof.cli.log import commands as log
from proof.cli.log.following import EXIT_CODES
from proof.follow.faults import Fault
from proof.mail import Mailer, Security
from proof.verify.evidence.log.tlog_proof import MAGIC, TlogProof, write_tlog_proof

SECRET = "whsec_" + "QUJD" * 8
PAGE = Path("src/proof/web/pages/following.md").resolve()


@pytest.fixture
def static(tmp_path: Path) -> Iterator[StaticServer]:
    (tmp_path / "log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
    with static_server(log_files(some(300))) as found:
        yield found


@pytest.fixture
def look(proof: Proof, static: StaticServer) -> Proof:
    """`proof log monitor --once` of the log in an empty folder."""

    def run(*options: object, **environment: str) -> Result:
        arguments = ("--log-key", "log.key", "--state", "state", "--once")
        return proof("log", "monitor", static.url, *arguments, *options, **environment)

    return run


def test_each_fault_has_an_exit_code_of_its_own_and_is_explained() -> None:
    assert set(EXIT_CODES) == set(Fault)
    assert not {0, 1, 2} & set(EXIT_CODES.values())
    assert len(set(EXIT_CODES.values())) == len(Fault)
    for fault, code in EXIT_CODES.items():
        assert re.search(rf"^\| {code} \| `{fault}` \| .+ \| .+ \|$", PAGE.read_text(), re.M), fault


@pytest.mark.parametrize(
    "name",
    [
        "another history of the same size",
        "shorter than before",
        "signed by another key of that name",
        "without a cosignature",
        "an entry altered",
        "a full tile missing",
    ],
)
def test_a_fault_is_told_by_the_exit_code_and_in_words(
    look: Proof, static: StaticServer, name: str
) -> None:
    change, expected = MISBEHAVIOUR[name]
    well = look("--entries")
    assert (well.exit_code, well.stderr) == (0, "")
    assert "has 300 entries and continues all that was seen of it" in well.stdout
    change(static.files)
    done = look("--entries")
    assert (done.exit_code, done.stdout) == (EXIT_CODES[expected], "")
    assert f"{expected}" in done.stderr or "is missing" in done.stderr
    (evidence,) = Path("state/evidence").iterdir()
    assert f"Evidence: {evidence}" in done.stderr
    told = json.loads(look("--json").stdout)
    assert told["size"] >= 300
    if expected is not Fault.ALTERED:  # which only looking at the entries finds
        assert (told["fault"], told["exitCode"]) == (expected, EXIT_CODES[expected])


def test_a_line_of_json_is_printed_for_each_look(look: Proof, static: StaticServer) -> None:
    first = json.loads(look("--json").stdout)
    static.files = log_files(GROWN)
    second = json.loads(look("--json", "--entries").stdout)
    assert (first["size"], first["grownBy"], first["entriesHashed"]) == (300, 0, 0)
    assert (second["size"], second["grownBy"], second["entriesHashed"]) == (700, 400, 700)
    assert (second["fault"], second["exitCode"]) == (None, 0)


def test_metrics_are_written_for_the_textfile_collector(look: Proof, static: StaticServer) -> None:
    for change, fault in ((None, None), (MISBEHAVIOUR["shorter than before"][0], "rollback")):
        if change:
            change(static.files)
        look("--metrics", "proof.prom")
        lines = Path("proof.prom").read_text().splitlines()
        label = f'log="{static.url}"'
        assert f"proof_follow_log_size{{{label}}} 300.0" in lines
        wrong = {
            line for line in lines if line.startswith("proof_follow_fault") and line[-3:] == "1.0"
        }
        assert wrong == ({f'proof_follow_fault{{fault="{fault}",{label}}} 1.0'} if fault else set())


def test_a_webhook_is_signed_and_sent_until_it_is_taken(look: Proof, static: StaticServer) -> None:
    Path("secret").write_text(SECRET + "\n")
    with Receiver() as receiver:
        receiver.script(Reply(500), otherwise=Reply(204))
        options = ("--notify", receiver.url("/?token=abc"), "--notify-secret", "secret")
        look(*options)
        MISBEHAVIOUR["shorter than before"][0](static.files)
        refused = look(*options)
        assert "the webhook was not told: it answered 500; it is tried again" in refused.stderr
        look(*options)
        look(*options)
        received = receiver.requests
    assert len(received) == 2
    for each in received:
        told = Webhook(SECRET).verify(each.body, each.headers)
        assert (told["type"], told["fault"], told["log"]) == ("log.fault", "rollback", static.url)
    assert received[0].headers["webhook-id"] == received[1].headers["webhook-id"]


class Relayed:
    """An installation of which only the mail relay is asked for."""

    def __init__(self, relay: Mailer | None) -> None:
        self._relay = relay

    def mailer(self) -> Mailer | None:
        return self._relay


def test_mail_goes_by_the_relay_of_the_settings(
    look: Proof, static: StaticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look()
    MISBEHAVIOUR["shorter than before"][0](static.files)
    with relay() as found:
        mailer = Mailer("127.0.0.1", found.port, Security.NONE, "Proof <partners@proof.example>")
        for installed, code in ((mailer, EXIT_CODES[Fault.ROLLBACK]), (None, 2)):
            app = typer.Typer()
            log.register(app, lambda options, each=installed: Relayed(each))  # type: ignore[arg-type]
            arguments = ["log", "monitor", static.url, "--log-key", "log.key", "--state", "state"]
            options = ["--once", "--mail", "ops@acme.example"]
            done = CliRunner().invoke(app, arguments + options)
            assert done.exit_code == code, done.output
        assert "Subject: Log: rollback: " in found.text
    assert "no mail relay is set; set PROOF_SMTP_HOST" in done.stderr


def test_it_is_held_against_a_proof_and_a_checkpoint(look: Proof) -> None:
    Path("theirs").write_bytes(checkpoint(some(200, "other ")))
    note = checkpoint(some(200)).decode()
    Path("mine.proof.json").write_text(json.dumps({"evidence": {"checkpoint": note}}))
    assert look("--against", "mine.proof.json").exit_code == 0
    tlog_proof = TlogProof(bytes(32), bytes(32), (), 0, (bytes(32),), note.encode())
    Path("mine.tlog-proof").write_bytes(write_tlog_proof(tlog_proof))
    assert look("--against", "mine.tlog-proof").exit_code == 0
    done = look("--against", "mine.proof.json", "--against", "theirs")
    assert done.exit_code == EXIT_CODES[Fault.FORK]
    for wrong in ("", "{}", "[]", '{"evidence": []}', note.replace("200", "201"), MAGIC.decode()):
        Path("wrong").write_text(wrong)
        done = look("--against", "wrong")
        assert done.exit_code == 2
        assert "wrong holds no checkpoint that the trusted keys signed" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing says whom to trust"),
        (
            ("--log-key", "log.key", "--policy", "log.key"),
            "nothing says whom to trust, or two things",
        ),
        (("--policy", "log.key"), "the trusted keys cannot be read"),
        (("--log-key", "gone"), "cannot read gone: No such file"),
        (("--log-key", "cosigner.key"), "no log is named that could be followed"),
        (("--log-key", "log.key", "--every", "0"), "--every: it is too short"),
        (("--log-key", "log.key", "--max-age", "soon"), "--max-age: 'soon' is not a time"),
        (
            ("--log-key", "log.key", "--notify", "mail@example"),
            "--notify: it is not an http(s) URL",
        ),
        (("--log-key", "log.key", "--notify-secret", "log.key"), "--notify-secret signs nothing"),
        (
            ("--log-key", "log.key", "--notify", "http://h", "--notify-secret", "log.key"),
            "log.key holds no secret",
        ),
    ],
)
def test_wrong_usage_is_told(
    proof: Proof, static: StaticServer, options: tuple[str, ...], said: str
) -> None:
    Path("cosigner.key").write_text(WITNESS.text + "\n")
    done = proof("log", "monitor", static.url, "--state", "state", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not Path("state").exists()


def test_a_state_that_cannot_be_written_is_told(look: Proof) -> None:
    Path("state").write_text("a file")
    done = look()
    assert done.exit_code == 1
    assert "cannot use state" in done.stderr


def test_a_mirror_tells_what_it_did(proof: Proof, static: StaticServer) -> None:
    copy = ("log", "mirror", static.url, "copy", "--log-key", "log.key")
    assert "with 300 entries, 0 before; 5 files written" in proof(*copy).stdout
    static.files = log_files(GROWN)
    told = json.loads(proof(*copy, "--json").stdout)
    assert (told["size"], told["sizeBefore"], told["files"]) == (700, 300, 5)
    MISBEHAVIOUR["one entry rewritten while it grew"][0](static.files)
    static.files["checkpoint"] = log_files(some(699, "other "))["checkpoint"]
    done = proof(*copy, "--json")
    assert done.exit_code == EXIT_CODES[Fault.FORK]
    assert json.loads(done.stdout)["fault"] == "fork"
    assert proof(*copy).stderr.startswith("proof: fork: ")
    require_whole(Path("copy"), [700])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_stays_ends_when_it_is_told_to(
    static: StaticServer, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = [static.url, "--log-key", "log.key", "--state", "state", "--every", "1h", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "proof", "log", "monitor", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["size"] == 300
        process.send_signal(number)
        assert process.wait(timeout=120) == 0
