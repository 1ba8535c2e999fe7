"""`proof-verify STATEMENT.json STATEMENT.csv`: exit codes, the account, and one's own list beside it."""

import json
from datetime import timedelta
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support import signer
from tests.support.receipts import START
from tests.support.statements import FOLDER, content, day_lines, file
from typer.testing import CliRunner

from proof.cli.proofs.verifying import register
from proof.verify.cli import main
from proof.verify.receipts.statement import read_statement

STATED, CELLS = str(FOLDER / "a-day.json"), str(FOLDER / "a-day.csv")
LINES = day_lines()
TRUST = ["--receipt-key", str(FOLDER / "receipts.key"), "--log-key", str(FOLDER / "log.key")]


def own(folder: Path, *rows: str, columns: str = "merchant_transaction_id,crypto_amount") -> str:
    path = folder / "own.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return str(path)


def rows() -> list[str]:
    return [f"{each['merchant_transaction_id']},{each['crypto_amount']}" for each in LINES]


def facts(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [[STATED, CELLS], [CELLS, STATED], [STATED, "--file", CELLS]])
def test_a_statement_and_its_list_in_either_order(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *TRUST]) == 0
    told = capsys.readouterr().out
    assert f"the list of {len(LINES)} transactions is the one it names" in told.lower()
    assert "Established: the statement of 2026-03-01 (UTC)" in told
    assert "Not established" not in told


def test_what_is_missing_is_not_established(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([STATED]) == 3
    told = capsys.readouterr().out
    assert told.count("Not established:") == 3
    assert main([STATED, "--json"]) == 3
    found = facts(capsys)
    assert (found["result"], found["lines"], found["signedBy"]) == ("untied", None, None)
    assert len(found["remaining"]) == 3


@pytest.mark.parametrize(
    "name", [path.stem for path in FOLDER.glob("*.json") if path.stem != "expected"]
)
def test_the_corpus_is_decided_as_it_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads((FOLDER / "expected.json").read_bytes())[name]
    code = main([str(FOLDER / f"{name}.json"), str(FOLDER / f"{name}.csv"), *TRUST, "--json"])
    found = facts(capsys)
    assert code == found["exitCode"] == (0 if expected["result"] == "tied" else 1)
    assert found["result"] == expected["result"]
    assert found.get("error") == expected.get("error")


def test_a_list_that_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = own(tmp_path, *rows())
    assert main([STATED, CELLS, *TRUST, "--against", mine]) == 0
    assert f"{len(LINES)} of {len(LINES)} transactions agree." in capsys.readouterr().out


def test_a_list_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [each["merchant_transaction_id"] for each in LINES]
    mine = own(tmp_path, f"{known[0]},17", *rows()[2:], "\x1b[31mx,1")
    assert main([STATED, CELLS, *TRUST, "--against", mine]) == 1
    told = capsys.readouterr().out
    assert f"differs: '{known[0]}'  crypto_amount:" in told
    assert f"only in the statement: '{known[1]}'" in told
    assert "only in yours: '\\x1b[31mx'" in told
    assert main([STATED, CELLS, *TRUST, "--against", mine, "--json"]) == 1
    found = facts(capsys)
    assert found["result"] == "refused"
    assert found["reconciliation"]["onlyInStatement"] == [known[1]]
    assert [each["own"] for each in found["reconciliation"]["differences"]] == ["17"]


def test_a_list_against_a_statement_that_was_altered_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = str(FOLDER / "csv-amount-changed.csv")
    assert main([STATED, altered, *TRUST, "--against", own(tmp_path, *rows())]) == 1
    assert "agree" not in capsys.readouterr().out


def test_many_differences_are_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = own(tmp_path, *(f"{number:04},1" for number in range(60)))
    assert main([STATED, CELLS, "--against", mine]) == 1
    assert "only in yours: 10 more; --json has them all" in capsys.readouterr().out


def test_the_day_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = read_statement(content(LINES)).sha256.hex()
    next_day = tmp_path / "next.json"
    next_day.write_text(json.dumps(file(content([], START + timedelta(days=1), named))))
    assert main([str(next_day), *TRUST, "--previous", STATED]) == 0
    assert "It follows the statement of the day before" in capsys.readouterr().out
    assert main([STATED, *TRUST, "--previous", str(next_day)]) == 1
    assert "Refused:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [STATED, "--against", CELLS],
        [STATED, CELLS, "--webhooks", CELLS],
        [STATED, "--sha256", "00" * 32],
        [STATED, "missing.csv"],
        [STATED, CELLS, "--against", "missing.csv"],
        [STATED, CELLS, "--against", __file__],
        [STATED, CELLS, "--receipt-key", str(FOLDER / "log.key")],
        [STATED, "-"],
        [STATED, "-", "--against", "-"],
        [CELLS, "--previous", STATED],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("proof-verify: ")


def test_the_statement_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = Path(STATED).read_bytes()
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(raw)))
    assert main([CELLS, "-", *TRUST]) == 0
    assert "byte for byte" in capsys.readouterr().out


def test_a_proof_of_a_statement_as_a_file_is_a_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stamped the file themselves gives it like any other."""
    proof = tmp_path / "a-day.json.proof.json"
    proof.write_text(json.dumps(signer.payload()))
    assert main([STATED, str(proof)]) == 1
    assert "altered, or another file" in capsys.readouterr().out


def test_the_same_by_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    found = CliRunner().invoke(
        app, ["verify", STATED, CELLS, *TRUST, "--against", own(tmp_path, *rows())]
    )
    assert found.exit_code == 0, found.output
    assert "transactions agree" in found.output
    assert CliRunner().invoke(app, ["verify", STATED, *TRUST]).exit_code == 0
