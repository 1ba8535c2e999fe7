"""A data folder that is missing or cannot be used is told in one line, and nothing is made in it."""

from pathlib import Path

import pytest
from tests.support.commands import PROOF
from typer.testing import CliRunner, Result

from proof.config import SettingsError, load_settings
from proof.main.checks.report import unknown_variables
from proof.main.parts.keys import keys_folder


def proof(*arguments: object, **environment: str) -> Result:
    result = CliRunner().invoke(PROOF, list(map(str, arguments)), env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--port", "0"),
        ("api", "--port", "0"),
        ("worker",),
        ("partner", "list"),
        ("db", "migrate"),
        ("keys", "list"),
    ],
)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_no_data_folder(tmp_path: Path, command: tuple[str, ...], place: str) -> None:
    (tmp_path / "file").write_text("kept")
    folder = tmp_path / place
    done = proof(*command, "--data", folder)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"proof: the data folder {folder} cannot be used: ")
    assert done.stderr.endswith("--data or PROOF_DATA_DIR\n")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_that_cannot_be_made_is_told() -> None:
    done = proof("serve", "--port", "0", "--data", "/proc/nope")
    assert done.exit_code == 2
    assert done.stderr.startswith("proof: the data folder /proc/nope cannot be used: ")


def test_keys_cannot_go_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"the data folder .*file cannot be used"):
        keys_folder(load_settings({}, data_dir=tmp_path / "file"))


@pytest.mark.parametrize(
    "command",
    [
        ("partner", "list"),
        ("partner", "add", "--name", "Acme", "--email", "a@acme.example", "--ip", "192.0.2.1"),
        ("operator", "list"),
        ("secrets", "check"),
        ("keys", "rotate", "--env", "production"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_commands_make_no_proof_in_a_mistyped_folder(
    tmp_path: Path, command: tuple[str, ...], there: bool
) -> None:
    folder = tmp_path / "dta"
    if there:
        folder.mkdir()
    done = proof(*command, PROOF_DATA_DIR=str(folder))
    assert done.exit_code == 2
    assert f"there is no Proof in {folder} yet; start `proof serve`" in done.stderr
    assert folder.exists() == there
    assert not there or not list(folder.iterdir())


def test_unknown_variables_are_warned_of() -> None:
    environment = {
        "PROOF_PROT": "3",
        "PROOF_PORT": "1",
        "PROOF_URL": "",
        "PROOF_SUPERVISOR_PID": "",
    }
    assert unknown_variables(environment | {"HOME": "/"}) == [
        "PROOF_PROT is no setting and has no effect; is PROOF_PORT meant?"
    ]


def test_the_check_warns_and_cuts_nothing_off(tmp_path: Path) -> None:
    sender = f"Proof {'x' * 120} <proof@proof.example>"
    done = proof("config", "check", PROOF_PROT="3", PROOF_SMTP_SENDER=sender)
    assert done.exit_code == 0
    assert "PROOF_PROT is no setting" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("smtp_sender ")]
    assert line.split("  ")[-1] == "environment"
    assert sender in line
