"""The program on receipts: exit codes, words and JSON, and the files beside one."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import receipt_vectors, receipts
from tests.support.receipt_forgeries import BUY, STORIES
from tests.support.receipt_vectors import FOLDER
from tests.support.receipts import FORMER_KEY, KEY, LOG, Story, canonical
from tests.support.signer import Signer
from typer.testing import CliRunner

from proof.main.commands import application
from proof.main.installation import LocalInstallation
from proof.verify.cli import main
from proof.verify.evidence.log.note import COSIGNER_KEY
from proof.verify.receipts.receipt import MAX_PROOFS
from proof.verify.receipts.signature import is_receipts_key
from proof.verify.receipts.webhooks import MAX_FINDINGS, MAX_LINE_BYTES

KEYS = ("--receipt-key", "receipts.key", "--log-key", "log.key")
RECEIPT = "tied/with-statement.json"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_a_tied_receipt_reads_as_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECEIPT, *KEYS)
    assert code == 0
    assert "Bought: 25.5 USDT on TRC20 for 26.92 EUR, fees of 1.20 within it" in out
    assert "session opened: buy 25.5 USDT" in out
    assert "2026-03-01T09:05:00Z  status completed, told by the provider's callback" in out
    assert (
        "existed by 2026-03-02T09:06:01Z, as did what names it (LOG 2026-03-01T09:05:02Z)"
        not in out
    )
    assert "existed by 2026-03-01T09:05:02Z (LOG 2026-03-01T09:05:02Z)" in out
    assert "ok  The statement of 2026-03-01, signed, counts 5 records of it." in out
    assert "Established: the holder of 'log.example/receipts-vectors/receipts' said these 5" in out
    assert "That what a provider told the operator is true, it does not show." in out
    assert "Not established" not in out


def test_a_receipt_of_an_opening_alone_speaks_of_one_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(canonical(receipts.receipt(BUY[:1], receipt_vectors.NOON)))
    name, by = BUY[0]["merchant_transaction_id"], "'log.example/receipts-vectors/receipts'"
    _, out, _ = run(capsys, str(path), *KEYS)
    assert "ok  Its one record is whole, and the first." in out
    assert f"the holder of {by} said this one record of {name} and no other, as of " in out
    _, out, _ = run(capsys, str(path), *KEYS[2:])
    assert f"Established: this is the first record of {name}, whoever said it." in out


def test_without_a_receipts_key_nobody_has_said_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECEIPT, "--log-key", "log.key")
    assert code == 3
    assert "Established: these 5 records of d5638c9e" in out
    assert "whoever said them." in out
    assert "give --receipt-key, from where you trust it." in out
    assert "No receipts key you gave has signed the statement of 2026-03-01." in out


def test_without_the_logs_key_no_record_has_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECEIPT, "--receipt-key", "receipts.key")
    assert code == 3
    assert "Not established: Records 1 to 5: No key of the log" in out
    assert "at an unproved time (LOG: tied to nothing you gave)" in out


def test_what_has_no_proof_yet_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "untied/unproved-at-the-end.json", *KEYS)
    assert code == 3
    assert "Not established: Records 4 to 5: no proof yet; one fetched later has it." in out
    assert "It holds no daily statement: only its signature says" in out


def test_a_later_proof_dates_what_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = facts(
        capsys, "tied/with-bitcoin.json", "--headers", "regtest.headers", "--network", "regtest"
    )
    assert code == 3
    times = {record["existedBy"] for record in told["records"]}
    assert times == {told["records"][-1]["proofs"][1]["timestamp"]}
    assert told["records"][0]["proofs"][0]["timestamp"] is None
    assert told["signedBy"] is None


def test_the_facts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = facts(capsys, RECEIPT, *KEYS)
    assert (code, told["result"], told["exitCode"]) == (0, "tied", 0)
    assert (told["status"], told["environment"], told["refundStatus"]) == (
        "completed",
        "production",
        "none",
    )
    assert told["claimed"] == {"personal": "held"}
    assert told["statement"]["date"] == "2026-03-01"
    assert told["webhooks"] is None
    assert told["partnerId"] == receipts.PARTNER
    assert told["head"] == told["records"][-1]["sha256"] == told["statement"]["head"]
    assert told["records"][1]["proofs"] == [
        {"currency": "LOG", "transaction": "1", "timestamp": told["records"][1]["existedBy"]}
    ]
    stored = json.loads(Path(RECEIPT).read_text())
    assert [each["record"] for each in told["records"]] == [
        each["record"] for each in stored["records"]
    ]


@pytest.mark.parametrize("name", STORIES)
def test_every_story_can_be_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, f"tied/{name}.json", *KEYS)
    assert code == 0
    assert ("Claimed: the person was erased" in out) is (name == "erased")
    assert ("the payment was charged back" in out) is (name == "refunded")


def test_a_refused_receipt_names_the_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "refused/truncated-with-its-old-signature.json", *KEYS)
    assert code == 1
    assert out.startswith(
        "Refused: the statement of 2026-03-01 counts 5 records, the receipt holds 3"
    )
    code, told = facts(capsys, "refused/a-record-altered.json", *KEYS)
    assert (code, told["error"]) == (1, "RecordHashError")


def test_bodies_that_are_not_what_was_recorded_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("tied/buy-completed.json", *KEYS, "--webhooks", "webhooks.ndjson")
    code, out, _ = run(capsys, *given)
    assert code == 1
    assert (
        "NO  Of the webhook bodies 3 are what was recorded, 6 are not, 2 speak of something" in out
    )
    assert "line 6: it has fiat_amount '2692.00', but record 5 has '26.92'." in out
    assert "line 8: its record_sha256" in out
    code, told = facts(capsys, *given)
    assert (code, told["result"], told["exitCode"]) == (1, "refused", 1)
    assert [each["line"] for each in told["webhooks"]["findings"]] == [6, 7, 8, 9, 11, 12]


def test_a_record_without_a_body_that_says_the_same_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bodies = tmp_path / "bodies.ndjson"
    altered = receipts.webhook_body(BUY[4]) | {"fiat_amount": "2692.00"}
    for lines, expected in (([], 0), ([altered], 1)):
        whole = [receipts.webhook_body(BUY[2]), *lines]
        bodies.write_bytes(b"\n".join(map(canonical, whole)))
        code, out, _ = run(capsys, "tied/buy-completed.json", *KEYS, "--webhooks", str(bodies))
        assert code == expected
        assert "No webhook body in the file says what was recorded in record 5." in out


def test_bodies_of_version_1_are_compared_without_a_hash(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    body = receipts.webhook_body(STORIES["begun-with-version-1"].records[0])
    bodies = tmp_path / "bodies.ndjson"
    shortened = {"merchant_transaction_id": body["merchant_transaction_id"], "status": "processing"}
    lines = [body, body | {"fiat_amount": "1"}, shortened]
    bodies.write_bytes(b"\r\n".join(map(canonical, lines)))
    name = "tied/begun-with-version-1.json"
    code, told = facts(capsys, name, *KEYS, "--webhooks", str(bodies))
    assert (code, told["webhooks"]["matching"]) == (1, 1)
    assert [each["line"] for each in told["webhooks"]["findings"]] == [2, 3]


def test_many_and_long_lines_take_no_memory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bodies = tmp_path / "bodies.ndjson"
    bodies.write_bytes(
        b"[]\n" * (MAX_FINDINGS + 5) + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + b'{"a":1}\n'
    )
    code, told = facts(capsys, RECEIPT, *KEYS, "--webhooks", str(bodies))
    assert code == 1
    assert told["webhooks"]["differing"] == MAX_FINDINGS + 6
    assert len(told["webhooks"]["findings"]) == MAX_FINDINGS
    assert told["webhooks"]["others"] == 1
    _, out, _ = run(capsys, RECEIPT, *KEYS, "--webhooks", str(bodies))
    assert f"And {MAX_FINDINGS - 14} more; --json lists up to 1,000 of them." in out


def test_a_disclosure_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECEIPT, *KEYS, "--disclosure", "disclosure.json")
    assert code == 0
    assert "   5  address: 'TQ5NMqJjhpQGK7YJbESKtuU7WLu5yWe2Hq'" in out
    assert receipts.EMAIL not in out


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "proof-disclosure/2"},
        {"merchant_transaction_id": Story("another").id},
        {"disclosures": {}},
        {"disclosures": [{}]},
        {"disclosures": receipt_vectors.disclosure()["disclosures"] * 2},
        {"note": ""},
    ],
)
def test_a_disclosure_of_something_else_is_refused(
    changed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "disclosure.json"
    path.write_bytes(canonical(receipt_vectors.disclosure() | changed))
    code, told = facts(capsys, RECEIPT, *KEYS, "--disclosure", str(path))
    assert (code, told["error"]) == (1, "DisclosureError")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("log.key", RECEIPT), "a receipt is about no file: give it alone"),
        ((RECEIPT, "--sha256", "ab" * 32), "a receipt is about no file: give it alone"),
        ((RECEIPT, "--receipt-key", "log.key"), "is no receipts key, whose name ends in /receipts"),
        ((RECEIPT, "--receipt-key", "nowhere"), "cannot read 'nowhere': No such file"),
        ((RECEIPT, "--disclosure", "nowhere"), "cannot read 'nowhere': No such file"),
        ((RECEIPT, "--webhooks", "nowhere"), "cannot read 'nowhere': No such file"),
        ((RECEIPT, "--webhooks", "."), "cannot read '.': Is a directory"),
        (("-", "--webhooks", "-"), "`-` stands for one file"),
        (("-", "--disclosure", "-"), "`-` stands for one file"),
        (("../seed_proof.json", "--webhooks", "x"), "--webhooks is of a receipt, and"),
        (("../seed_proof.json", "--receipt-key", "x"), "--receipt-key is of a receipt, and"),
        (("../seed_proof.json", "--disclosure", "x"), "--disclosure is of a receipt, and"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in error


def test_a_record_has_so_many_proofs_and_no_more(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "receipt.json"
    stored = json.loads(Path("tied/cancelled.json").read_text())
    stored["records"][0]["proofs"] *= MAX_PROOFS
    path.write_bytes(canonical(stored))
    assert run(capsys, str(path), *KEYS)[0] == 0
    stored["records"][0]["proofs"] += stored["records"][0]["proofs"][:1]
    path.write_bytes(canonical(stored))
    code, told = facts(capsys, str(path), *KEYS)
    assert (code, told["error"]) == (1, "ReceiptFormatError")


def test_a_receipt_comes_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO(Path(RECEIPT).read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    assert run(capsys, "-", *KEYS)[0] == 0


def test_a_hostile_name_does_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    story = Story("hostile").opened(currency="\x1b[2J", network="a" * 500).callback()
    story.status("processing", currency="\x1b[2J", network="a" * 500)
    path = tmp_path / "receipt.json"
    path.write_bytes(canonical(receipts.receipt(story.records, receipt_vectors.NOON)))
    code, out, _ = run(capsys, str(path), *KEYS)
    assert code == 0
    assert "\x1b" not in out
    assert "a" * 100 not in out


def test_proof_verify_takes_a_receipt_by_any_name(tmp_path: Path) -> None:
    path = tmp_path / "anything"
    path.write_bytes(Path(RECEIPT).read_bytes())
    done = CliRunner().invoke(application(LocalInstallation), ["verify", str(path), *KEYS])
    assert done.exit_code == 0, done.output
    assert "Established: the holder of" in done.output


def test_no_receipt_no_code_of_receipts() -> None:
    program = (
        "import sys; from proof.verify import cli; "
        "sys.exit(any(name.startswith('proof.verify.receipts') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (KEY, True),
        (FORMER_KEY, True),
        (LOG, False),
        (Signer.named("witness.example/receipts", COSIGNER_KEY), False),
    ],
)
def test_only_the_key_of_receipts_is_taken_for_one(key: Signer, found: bool) -> None:
    assert is_receipts_key(key.key) is found
