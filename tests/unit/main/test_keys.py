"""Where the key-encryption key comes from, what is refused, and where it never shows."""

import base64
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proof.config import Settings, SettingsError, load_settings
from proof.core.secrets import Vault
from proof.main.checks.report import settings_report
from proof.main.parts import keys
from proof.main.parts.keys import KEY_VARIABLE, forget_key_variable, key_variable, open_vault

KEY, EARLIER = bytes(range(32)), bytes(range(32, 64))
NOTATIONS = (KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), f" {KEY.hex()}\n")
LIVE = {"PROOF_MODE": "live", "PROOF_PUBLIC_URL": "https://proof.example"}


def settings(tmp_path: Path, **variables: str) -> Settings:
    given = {f"PROOF_{name.upper()}": value for name, value in variables.items()}
    return load_settings(given, data_dir=tmp_path / "data")


def key_file(path: Path, key: bytes = KEY) -> str:
    path.write_text(key.hex())
    path.chmod(0o600)
    return str(path)


def printing(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


def seals_with(vault: Vault, key: bytes) -> bool:
    return vault.newest_id == Vault([key]).newest_id


@pytest.mark.parametrize("text", NOTATIONS)
def test_each_source_and_notation_gives_the_same_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    for source in (
        {"key_encryption_key_file": str(file)},
        {"key_encryption_key": text},
        {"key_encryption_key_command": printing(f"print({text!r})")},
    ):
        assert seals_with(open_vault(settings(tmp_path, **source)), KEY)


@pytest.mark.parametrize(
    "text", ["short", "00" * 31, "00" * 33, "zz" * 32, KEY.hex() + "=", "é" * 64]
)
def test_what_is_no_key_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    for source in (
        {"key_encryption_key_file": str(file)},
        {"key_encryption_key": text},
        {"key_encryption_key_command": printing(f"print({text!r})")},
    ):
        with pytest.raises(SettingsError, match="must hold 32 bytes") as refused:
            open_vault(settings(tmp_path, **source))
        assert text not in str(refused.value)


def test_two_sources_are_refused(tmp_path: Path) -> None:
    both = {"key_encryption_key_file": "/etc/proof/key", "key_encryption_key": KEY.hex()}
    with pytest.raises(SettingsError, match="only one of key_encryption_key_file and") as refused:
        settings(tmp_path, **both)
    assert KEY.hex() not in str(refused.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path / "key")
    Path(file).chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        open_vault(settings(tmp_path, key_encryption_key_file=file))


def test_earlier_keys_open_and_the_present_one_seals(tmp_path: Path) -> None:
    previous = key_file(tmp_path / "previous", EARLIER)
    sealed = Vault([EARLIER]).seal(b"secret", "record 1")
    for source in (
        {"key_encryption_key_file": key_file(tmp_path / "key")},
        {"key_encryption_key": KEY.hex()},
        {},
    ):
        vault = open_vault(
            settings(
                tmp_path, key_encryption_key_previous_files=f"{previous}, {previous}", **source
            )
        )
        assert vault.open(sealed, "record 1") == b"secret"
        assert not seals_with(vault, EARLIER)


def test_an_earlier_key_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere: No such file"):
        open_vault(settings(tmp_path, key_encryption_key_previous_files=str(tmp_path / "nowhere")))


def test_the_variable_is_gone_once_it_is_read_and_only_our_own_processes_get_it(
    tmp_path: Path,
) -> None:
    environment = {KEY_VARIABLE: KEY.hex(), "PATH": "/bin"}
    found = load_settings(environment, data_dir=tmp_path)
    forget_key_variable(environment)
    assert environment == {"PATH": "/bin"}
    assert key_variable(found) == {KEY_VARIABLE: KEY.hex()}
    assert key_variable(load_settings(environment, data_dir=tmp_path)) == {}
    forget_key_variable(environment)


def test_the_command_inherits_no_setting_and_knows_no_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOF_DATABASE_URL", "postgresql://proof:secret@db/proof")
    monkeypatch.setenv("KEY_STORE", KEY.hex())
    program = (
        "import os, sys; names = [name for name in os.environ if name.startswith('PROOF_')];"
        " print('' if names or sys.argv[1:] != ['$(id)', ';'] else os.environ['KEY_STORE'])"
    )
    command = f"{printing(program)} '$(id)' ';'"
    assert seals_with(open_vault(settings(tmp_path, key_encryption_key_command=command)), KEY)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (printing("raise SystemExit(3)"), "ended with 3"),
        (printing("import os; os.kill(os.getpid(), 9)"), "ended with -9"),
        ("/nowhere/key-store", "cannot be run: No such file or directory"),
        ("'unclosed", "cannot be run: it names no program"),
        (" ", "cannot be run: it names no program"),
    ],
)
def test_a_command_that_fails_is_told_without_what_it_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        open_vault(settings(tmp_path, key_encryption_key_command=command))
    assert capfd.readouterr() == ("", "")


def test_what_a_command_says_on_standard_error_is_dropped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = f"import sys; print('token s3cret', file=sys.stderr); print({KEY.hex()!r})"
    open_vault(settings(tmp_path, key_encryption_key_command=printing(program)))
    assert capfd.readouterr() == ("", "")


def test_a_command_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "pid"
    program = (
        "import subprocess, sys, pathlib, time;"
        " child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f" pathlib.Path({str(noted)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    # The first of these that was long enough for it to start anything.
    for limit_s in (1, 10, 50):
        monkeypatch.setattr(keys, "_COMMAND_S", float(limit_s))
        with pytest.raises(SettingsError, match=f"did not end within {limit_s} s"):
            open_vault(settings(tmp_path, key_encryption_key_command=printing(program)))
        if noted.exists() and noted.read_text():
            break
    deadline = time.monotonic() + 120
    while _runs(int(noted.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("source", ["file", "variable", "command"])
def test_live_refuses_the_key_that_development_made(tmp_path: Path, source: str) -> None:
    open_vault(settings(tmp_path))
    made = tmp_path / "data" / "keys" / "key-encryption-key"
    text = made.read_text().strip()
    given = {
        "file": {"PROOF_KEY_ENCRYPTION_KEY_FILE": str(made)},
        "variable": {"PROOF_KEY_ENCRYPTION_KEY": text},
        "command": {"PROOF_KEY_ENCRYPTION_KEY_COMMAND": f"cat {made}"},
    }[source]
    with pytest.raises(SettingsError, match="the one development made") as refused:
        open_vault(load_settings(LIVE | given, data_dir=tmp_path / "data"))
    assert text not in str(refused.value)
    own = {
        "PROOF_KEY_ENCRYPTION_KEY_FILE": key_file(tmp_path / "own"),
        "PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES": str(made),
    }
    assert seals_with(open_vault(load_settings(LIVE | own, data_dir=tmp_path / "data")), KEY)


def test_live_needs_a_key_of_the_operators() -> None:
    with pytest.raises(SettingsError, match="key_encryption_key_command must give the operator's"):
        load_settings(LIVE)
    for source in ("KEY_FILE", "KEY", "KEY_COMMAND"):
        assert load_settings(LIVE | {f"PROOF_KEY_ENCRYPTION_{source}": "x"}).mode == "live"


def test_neither_reports_nor_reprs_hold_the_key(tmp_path: Path) -> None:
    found = settings(tmp_path, key_encryption_key=KEY.hex())
    rows = {row["name"]: row for row in settings_report(found, {})}
    assert rows["key_encryption_key"]["value"] == "(set)"
    assert rows["key_encryption_key"]["source"] == "environment"
    command = settings(tmp_path, key_encryption_key_command="vault read -token=s3cret key")
    shown = {row["name"]: row["value"] for row in settings_report(command, {})}
    assert shown["key_encryption_key_command"] == "vault …"
    for text in (repr(rows), repr(found), str(found), repr(open_vault(found))):
        assert KEY.hex() not in text


@pytest.mark.parametrize("days", ["0", "-1", "367", "monthly"])
def test_a_lifetime_that_is_none_is_refused(tmp_path: Path, days: str) -> None:
    with pytest.raises(SettingsError, match="signing_key_days"):
        settings(tmp_path, signing_key_days=days)


def test_every_command_forgets_the_variable(tmp_path: Path) -> None:
    program = (
        "import os; from proof.cli.installation import ServerOptions;"
        "from proof.main.installation import LocalInstallation;"
        "found = LocalInstallation(ServerOptions());"
        f"assert {KEY_VARIABLE!r} not in os.environ;"
        "print(found.vault().newest_id.hex())"
    )
    environment = {**os.environ, KEY_VARIABLE: KEY.hex(), "PROOF_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{Vault([KEY]).newest_id.hex()}\n", "")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}
