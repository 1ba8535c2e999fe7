"""`proof config check` finds what stops a start, and a start says it in one line."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.relay import relay
from typer.testing import CliRunner, Result

from proof.main.commands import application
from proof.main.installation import LocalInstallation

Broken = Callable[[Path], dict[str, str]]
KEY = "ab" * 32


def proof(*arguments: object, **environment: str) -> Result:
    result = CliRunner().invoke(
        application(LocalInstallation), list(map(str, arguments)), env=environment
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def problems(result: Result) -> list[str]:
    checks = json.loads(result.stdout)["checks"]
    return [one["text"] for one in checks if one["level"] == "problem"]


def _file(folder: Path, name: str, text: str, mode: int = 0o600) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _chains(folder: Path, text: str) -> dict[str, str]:
    return {"PROOF_CHAINS_FILE": _file(folder, "chains.toml", text)}


def _open_keys(folder: Path) -> dict[str, str]:
    (folder / "data" / "keys").mkdir(parents=True)
    (folder / "data" / "keys").chmod(0o755)
    return {}


def _open_key(folder: Path) -> dict[str, str]:
    (folder / "data" / "keys").mkdir(parents=True, mode=0o700)
    _file(folder / "data" / "keys", "key-encryption-key", KEY, 0o644)
    return {}


def _folder_is_file(folder: Path) -> dict[str, str]:
    _file(folder, "data", "")
    return {}


# What is wrong, and the words that both the check and the start say.
ALL: dict[str, tuple[Broken, str]] = {
    "no chains file": (
        lambda folder: {"PROOF_CHAINS_FILE": str(folder / "none.toml")}, "none.toml: No such file"
    ),
    "garbled chains file": (lambda folder: _chains(folder, "[[["), "chains.toml"),
    "unknown chain": (lambda folder: _chains(folder, "[production.doge]\nurl = 'x'"), "doge"),
    "a file for a folder": (_folder_is_file, "the data folder"),
    "no key file": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": str(folder / "none")}, "No such file"
    ),
    "a key for everybody": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": _file(folder, "key", KEY, 0o644)},
        "chmod 600",
    ),
    "a key that is none": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": _file(folder, "key", "abc")},
        "must hold 32 bytes",
    ),
    "a mail password for everybody": (
        lambda folder: {
            "PROOF_SMTP_HOST": "127.0.0.1", "PROOF_SMTP_SENDER": "a@b.example",
            "PROOF_SMTP_USER": "a", "PROOF_SMTP_PASSWORD_FILE": _file(folder, "pw", "x", 0o644),
        },
        "chmod 600",
    ),
    "a calendar without Bitcoin": (
        lambda _folder: {"PROOF_CALENDAR_URL": "https://calendar.proof.example"},
        "a calendar needs [production.bitcoin]",
    ),
    "no time-stamping files": (
        lambda folder: {
            "PROOF_TSA_ENABLED": "true", "PROOF_TSA_CERTIFICATE_FILE": str(folder / "none"),
            "PROOF_TSA_KEY_FILE": str(folder / "none"),
        },
        "the time-stamping files",
    ),
    "a database that is away": (
        lambda _folder: {"PROOF_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"},
        "PostgreSQL cannot be reached",
    ),
    "a database URL that is none": (
        lambda _folder: {"PROOF_DATABASE_URL": "postgresql://a:b@127.0.0.1:nine/x"}, "PROOF_DATABASE_URL"
    ),
    "an address of another machine": (
        lambda _folder: {"PROOF_HOST": "203.0.113.1"}, "cannot listen on 203.0.113.1"
    ),
    "keys for everybody": (_open_keys, "chmod 700"),
    "development's key for everybody": (_open_key, "chmod 600"),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"PROOF_DATA_DIR": str(tmp_path / "data"), "PROOF_PORT": str(free_port())}


@pytest.mark.parametrize("fault", ALL)
def test_what_stops_a_start_is_found(tmp_path: Path, place: dict[str, str], fault: str) -> None:
    breaks, said = ALL[fault]
    given = place | breaks(tmp_path)
    checked = proof("config", "check", "--json", **given)
    assert checked.exit_code == 2
    assert [text for text in problems(checked) if said in text], checked.stdout


@pytest.mark.parametrize("fault", ["no chains file", "garbled chains file", "a file for a folder"])
@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_the_start_says_the_same_in_one_line(
    tmp_path: Path, place: dict[str, str], fault: str, command: str
) -> None:
    breaks, said = ALL[fault]
    started = proof(command, **place | breaks(tmp_path))
    assert started.exit_code == 2
    assert said in started.stderr
    assert started.stderr.count("\n") == 1


def test_a_port_in_use_is_found_and_told(place: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = place | {"PROOF_PORT": str(taken.getsockname()[1])}
        for command in (("config", "check", "--json"), ("serve",), ("api",)):
            done = proof(*command, **given)
            assert done.exit_code == 2
            assert "choose another with --port" in done.output


def test_nothing_is_wrong_and_nothing_is_made(tmp_path: Path, place: dict[str, str]) -> None:
    done = proof("config", "check", "--json", **place)
    assert (done.exit_code, problems(done)) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_a_relay_that_is_away_is_a_warning_and_one_that_answers_is_greeted(
    place: dict[str, str],
) -> None:
    mail = {
        "PROOF_SMTP_HOST": "127.0.0.1",
        "PROOF_SMTP_SENDER": "a@b.example",
        "PROOF_SMTP_SECURITY": "none",
    }
    with relay() as found:
        given = place | mail | {"PROOF_SMTP_PORT": str(found.port)}
        here = proof("config", "check", **given)
        assert not any(line.startswith("MAIL") for line in found.lines)
    away = proof("config", "check", **given)
    assert "lets us in" in here.stdout
    assert "failed: ConnectionRefusedError" in away.stdout
    assert (here.exit_code, away.exit_code) == (0, 0)


def test_production_demands_more(tmp_path: Path, place: dict[str, str]) -> None:
    done = proof("config", "check", "--production", "--json", **place)
    assert done.exit_code == 2
    assert [text.partition(" ")[0] for text in problems(done)] == [
        "mode", "public_url", "trusted_proxies", "the",
    ]  # fmt: skip
    inside = tmp_path / "data"
    inside.mkdir(mode=0o700)
    live = place | {
        "PROOF_MODE": "live",
        "PROOF_PUBLIC_URL": "https://127.0.0.1:1",
        "PROOF_TRUSTED_PROXIES": "127.0.0.1",
        "PROOF_KEY_ENCRYPTION_KEY_FILE": _file(tmp_path, "key", KEY),
    }
    assert proof("config", "check", "--production", **live).exit_code == 0
    live["PROOF_KEY_ENCRYPTION_KEY_FILE"] = _file(inside, "key", KEY)
    done = proof("config", "check", "--production", "--json", **live)
    (said,) = problems(done)
    assert "lies in the data folder" in said
    away = live | {"PROOF_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"}
    assert (
        "database_owner_url is not set" in proof("config", "check", "--production", **away).stdout
    )
