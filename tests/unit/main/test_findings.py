"""`proof config check` finds what stops a start, and a start says it in the same words in one line."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from tests.support.certificates import ADDRESS, certificate
from tests.support.commands import PROOF
from tests.support.ports import free_port
from tests.support.relay import relay
from tests.support.tsa import generated
from typer.testing import CliRunner, Result

from proof.config import Settings

Broken = Callable[[Path], dict[str, str]]
KEY = "ab" * 32
EVERY = ("serve", "api", "worker")
HTTP, KEEPING, SERVE = ("serve", "api"), ("serve", "worker"), ("serve",)


def proof(*arguments: object, **environment: str) -> Result:
    result = CliRunner().invoke(PROOF, list(map(str, arguments)), env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def problems(result: Result) -> list[str]:
    checks = json.loads(result.stdout)["checks"]
    return [check["text"] for check in checks if check["level"] == "problem"]


def _file(folder: Path, name: str, text: str, mode: int = 0o600) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _chains(folder: Path, text: str) -> dict[str, str]:
    return {"PROOF_CHAINS_FILE": _file(folder, "chains.toml", text)}


def _keys(folder: Path, mode: int = 0o700) -> Path:
    keys = folder / "data" / "keys"
    keys.mkdir(parents=True)
    keys.chmod(mode)
    return keys


def _open_keys(folder: Path) -> dict[str, str]:
    _keys(folder, 0o755)
    return {}


def _bad_authority(folder: Path) -> dict[str, str]:
    _garbage(folder)
    return _chains(
        folder, "[sandbox.tsa]\nurl = 'https://a.example'\nca_certificate_file = 'garbage'"
    )


def _bad_development_authority(folder: Path) -> dict[str, str]:
    keys = _keys(folder)
    for name in ("tsa-chain.pem", "tsa-key.pem"):
        _file(keys, name, "x")
    return {"PROOF_TSA_ENABLED": "true"}


def _in_keys(name: str, text: str, mode: int = 0o600) -> Broken:
    def broken(folder: Path) -> dict[str, str]:
        _file(_keys(folder), name, text, mode)
        return {}

    return broken


def _no_folder(name: str) -> Broken:
    """A file where a folder of the data folder belongs."""

    def broken(folder: Path) -> dict[str, str]:
        (folder / "data").mkdir(mode=0o700)
        _file(folder / "data", name, "")
        return {}

    return broken


def _folder_is_file(folder: Path) -> dict[str, str]:
    _file(folder, "data", "")
    return {}


def _key(text: str, mode: int = 0o600) -> Broken:
    return lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": _file(folder, "key", text, mode)}


def _mail(password: Callable[[Path], str]) -> Broken:
    return lambda folder: {
        "PROOF_SMTP_HOST": "127.0.0.1",
        "PROOF_SMTP_SENDER": "a@b.example",
        "PROOF_SMTP_USER": "a",
        "PROOF_SMTP_PASSWORD_FILE": password(folder),
    }


def _tsa(chain: Callable[[Path], str], key: Callable[[Path], str], **others: str) -> Broken:
    return lambda folder: {
        "PROOF_TSA_ENABLED": "true",
        "PROOF_TSA_CERTIFICATE_FILE": chain(folder),
        "PROOF_TSA_KEY_FILE": key(folder),
        **others,
    }


def _chain(folder: Path) -> str:
    return _file(folder, "tsa.pem", generated().chain.decode())


def _chain_key(folder: Path) -> str:
    return _file(folder, "tsa-key.pem", generated().key.decode())


def _of_a_server(folder: Path) -> str:
    """A certificate that may not sign tokens, and in the same file its key."""
    certificate(folder, ADDRESS)
    (folder / "server.pem").chmod(0o600)
    return str(folder / "server.pem")


def _garbage(folder: Path) -> str:
    return _file(folder, "garbage", "-----BEGIN\x00")


def _missing(folder: Path) -> str:
    return str(folder / "none")


def _a_folder(folder: Path) -> str:
    (folder / "folder").mkdir(mode=0o700)
    return str(folder / "folder")


def _ethereum(key: Callable[[Path], str]) -> Broken:
    return lambda folder: _chains(
        folder, f"[sandbox.ethereum]\nurl = 'http://127.0.0.1:1'\nkey_file = '{key(folder)}'"
    )


# What is wrong, the words about it, and what it stops.
FILES: dict[str, tuple[Broken, str, tuple[str, ...]]] = {
    "a file for a folder": (_folder_is_file, "the data folder", EVERY),
    "a file above the folder": (
        lambda folder: {"PROOF_DATA_DIR": _file(folder, "above", "") + "/data"}, "the data folder", EVERY
    ),
    "a folder without end": (
        lambda folder: {"PROOF_DATA_DIR": str(folder / ("x" * 300))}, "File name too long", EVERY
    ),
    "no room for a socket": (
        lambda folder: {"PROOF_DATA_DIR": str(folder / ("x" * 120))}, "bytes shorter", SERVE
    ),
    "a file for the keys": (_no_folder("keys"), "must be a folder", EVERY),
    "a file for PostgreSQL": (_no_folder("postgresql"), "must be a folder", EVERY),
    "a file for the counters": (_no_folder("metrics"), "must be a folder", EVERY),
    "keys for everybody": (_open_keys, "chmod 700", EVERY),
    "development's key for everybody": (_in_keys("key-encryption-key", KEY, 0o644), "chmod 600", EVERY),
    "development's key in bits": (_in_keys("key-encryption-key", "abc"), "must hold 32 bytes", EVERY),
    "a high-water mark for everybody": (_in_keys("production-log.json", "{}", 0o666), "chmod 600", EVERY),
    "passwords for everybody": (_in_keys("postgresql.json", "{}", 0o640), "chmod 600", EVERY),
    "passwords in bits": (_in_keys("postgresql.json", "{"), "restore it from a backup", SERVE),
    "no key file": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": _missing(folder)}, "No such file", EVERY
    ),
    "a folder for a key file": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_FILE": _a_folder(folder)}, "Is a directory", EVERY
    ),
    "a key for everybody": (_key(KEY, 0o644), "chmod 600", EVERY),
    "a key that is none": (_key("abc"), "must hold 32 bytes", EVERY),
    "a variable that is no key": (
        lambda _folder: {"PROOF_KEY_ENCRYPTION_KEY": "abc"}, "must hold 32 bytes", EVERY
    ),
    "no previous key": (
        lambda folder: {**_key(KEY)(folder), "PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES": _missing(folder)},
        "No such file", EVERY,
    ),
    "a key's command that is none": (
        lambda folder: {"PROOF_KEY_ENCRYPTION_KEY_COMMAND": _missing(folder)}, "cannot be run", EVERY
    ),
    "a key's command that fails": (
        lambda _folder: {"PROOF_KEY_ENCRYPTION_KEY_COMMAND": "false"}, "ended with 1", EVERY
    ),
    "a key's command that says nothing": (
        lambda _folder: {"PROOF_KEY_ENCRYPTION_KEY_COMMAND": "true"}, "must hold 32 bytes", EVERY
    ),
    "no chains file": (
        lambda folder: {"PROOF_CHAINS_FILE": _missing(folder)}, "none: No such file", EVERY
    ),
    "a chains file of nobody's": (
        lambda _folder: {"PROOF_CHAINS_FILE": "~nobody-of-this-name/c"}, "has no home", EVERY
    ),
    "a garbled chains file": (lambda folder: _chains(folder, "[[["), "chains.toml", EVERY),
    "an unknown chain": (lambda folder: _chains(folder, "[production.doge]\nurl = 'x'"), "doge", EVERY),
    "a chain without a node": (
        lambda folder: _chains(folder, "[production.bitcoin]\nurl = 'x'\ncredentials_file = 'c'"),
        "an http(s) URL of the node is required", EVERY,
    ),
    "no Ethereum key": (_ethereum(_missing), "No such file", KEEPING),
    "a folder for an Ethereum key": (_ethereum(_a_folder), "Is a directory", KEEPING),
    "an Ethereum key that is none": (_ethereum(_garbage), "64 hexadecimal digits", KEEPING),
    "an Ethereum key for everybody": (
        _ethereum(lambda folder: _file(folder, "eth", KEY, 0o644)), "chmod 600", KEEPING
    ),
    "no certificate of a chain's authority": (
        lambda folder: _chains(
            folder, "[sandbox.tsa]\nurl = 'https://a.example'\nca_certificate_file = 'none'"
        ),
        "No such file", KEEPING,
    ),
    "a garbled certificate of a chain's authority": (_bad_authority, "[sandbox.tsa]", KEEPING),
    "a policy of a chain's authority that is none": (
        lambda folder: _chains(folder, "[sandbox.tsa]\nurl = 'https://a.example'\npolicy = 'x'"),
        "[sandbox.tsa]", KEEPING,
    ),
    "a mail password for everybody": (
        _mail(lambda folder: _file(folder, "pw", "x", 0o644)), "chmod 600", EVERY
    ),
    "no mail password": (_mail(_missing), "No such file", EVERY),
    "a folder for a mail password": (_mail(_a_folder), "Is a directory", EVERY),
    "a calendar without Bitcoin": (
        lambda _folder: {"PROOF_CALENDAR_URL": "https://calendar.proof.example"},
        "a calendar needs [production.bitcoin]", HTTP,
    ),
    "no time-stamping files": (_tsa(_missing, _missing), "the time-stamping files", HTTP),
    "a folder for a time-stamping key": (_tsa(_chain, _a_folder), "Is a directory", HTTP),
    "a time-stamping key for everybody": (
        _tsa(_chain, lambda folder: _file(folder, "k", generated().key.decode(), 0o644)), "chmod 600", HTTP
    ),
    "a garbled time-stamping certificate": (_tsa(_garbage, _chain_key), "certificate or key", HTTP),
    "a garbled time-stamping key": (_tsa(_chain, _garbage), "certificate or key", HTTP),
    "a time-stamping key of another": (
        _tsa(_chain, _of_a_server), "not the one the first certificate names", HTTP
    ),
    "a certificate of a web server": (
        _tsa(_of_a_server, _of_a_server), "extended key usage timeStamping", HTTP
    ),
    "a policy that is none": (_tsa(_chain, _chain_key, PROOF_TSA_POLICY="x"), "setting tsa_policy", HTTP),
    "development's certificates in bits": (_bad_development_authority, "certificate or key", HTTP),
    "a database URL that is none": (
        lambda _folder: {"PROOF_DATABASE_URL": "postgresql://a:b@127.0.0.1:nine/x"}, "PROOF_DATABASE_URL",
        EVERY,
    ),
    "an address of another machine": (
        lambda _folder: {"PROOF_HOST": "203.0.113.1"}, "cannot listen on 203.0.113.1", HTTP
    ),
    "an address that is none": (lambda _folder: {"PROOF_HOST": "a..b"}, "cannot listen on", HTTP),
}  # fmt: skip

# What the settings alone say is wrong.
SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"PROOF_DATA_DIR": "~nobody-of-this-name/data"}, "has no home"),
    ({"PROOF_PORT": "70000"}, "70000 is not a port"),
    ({"PROOF_PUBLIC_URL": "ftp://proof.example"}, "is not an http(s) URL"),
    ({"PROOF_PUBLIC_URL": "http://["}, "is not an http(s) URL"),
    ({"PROOF_PUBLIC_URL": "https://proof.example:99999"}, "is not an http(s) URL"),
    ({"PROOF_SANDBOX_PUBLIC_URL": "https://a@b"}, "is not an http(s) URL"),
    ({"PROOF_TRUSTED_PROXIES": "proxy.example"}, "trusted_proxies"),
    ({"PROOF_TRUSTED_PROXIES": "::/0"}, "name the proxies' own addresses"),
    ({"PROOF_UNSAFE_OUTBOUND_NETWORKS": "10.0.0.1/8"}, "unsafe_outbound_networks"),
    ({"PROOF_KEY_ENCRYPTION_KEY": KEY, "PROOF_KEY_ENCRYPTION_KEY_FILE": "k"}, "only one of"),
    ({"PROOF_SIGNING_KEY_DAYS": "0"}, "signing_key_days"),
    ({"PROOF_REFUSALS_DAYS": "0"}, "refusals_days"),
    ({"PROOF_WEBHOOK_SCHEDULE_S": "1,2"}, "begins with 0"),
    ({"PROOF_WEBHOOK_SCHEDULE_S": "0,nan"}, "at most 30 days"),
    ({"PROOF_WEBHOOK_DISABLE_AFTER_DAYS": "0"}, "at least 1"),
    ({"PROOF_PAYLOAD_DAYS": "0"}, "at least 1"),
    ({"PROOF_CLIENT_IP_DAYS": "0"}, "at least 1"),
    ({"PROOF_CALLBACK_DAYS": "0"}, "at least 1"),
    ({"PROOF_SMTP_PORT": "0"}, "is not a port"),
    ({"PROOF_SMTP_HOST": "relay.example"}, "smtp_sender"),
    ({"PROOF_OPERATOR_EMAIL": "me"}, "operator_email"),
    ({"PROOF_SMTP_USER": "me"}, "together with smtp_password_file"),
    ({"PROOF_CALENDAR_URL": "https://proof.example/~me"}, "calendar_url"),
    ({"PROOF_TSA_CERTIFICATE_FILE": "tsa.pem"}, "together with tsa_key_file"),
    ({"PROOF_TSA_ACCURACY_MS": "0"}, "at least 1"),
    ({"PROOF_ANONYMOUS_CALLS_PER_MINUTE": "0"}, "at least 1"),
    ({"PROOF_ANONYMOUS_CALLS_PER_SECOND": "0"}, "at least 1"),
    ({"PROOF_LOG_ORIGIN": "a log"}, "log_origin"),
    ({"PROOF_PUBLIC_URL": "https://proof.example/a+b"}, "log_origin"),
    ({"PROOF_MODE": "live"}, "must be an https URL"),
    ({"PROOF_MODE": "live", "PROOF_TSA_ENABLED": "1"}, "or tsa_enabled be off"),
]


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"PROOF_DATA_DIR": str(tmp_path / "data"), "PROOF_PORT": str(free_port())}


@pytest.mark.parametrize("fault", FILES)
def test_what_stops_a_start_is_found_and_told_in_the_same_words(
    tmp_path: Path, place: dict[str, str], fault: str
) -> None:
    breaks, said, stops = FILES[fault]
    given = place | breaks(tmp_path)
    checked = proof("config", "check", "--json", **given)
    assert checked.exit_code == 2
    found = [text for text in problems(checked) if said in text]
    assert found, checked.stdout
    for command in stops:
        started = proof(command, **given)
        assert started.exit_code == 2
        assert started.stderr == f"proof: {found[0]}\n"


def _wrong_types() -> list[tuple[dict[str, str], str]]:
    """For each setting that is a number, a choice or a yes or no: what is none."""
    hints: dict[str, Any] = get_type_hints(Settings)
    chosen = [
        name
        for name, kind in hints.items()
        if kind in {int, bool} or get_origin(kind) is Literal or float in get_args(kind)
    ]
    return [({f"PROOF_{name.upper()}": "many"}, f"setting {name}") for name in chosen]


@pytest.mark.parametrize(("wrong", "said"), [*SETTINGS, *_wrong_types()])
def test_a_setting_that_cannot_be_used_is_told_by_every_command(
    place: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    told = {
        proof(*command, **place | wrong).stderr for command in (("config", "check"), *zip(EVERY))
    }
    (line,) = told
    assert said in line
    assert (line[:7], line.count("\n")) == ("proof: ", 1)


def test_a_folder_that_cannot_be_written_is_found(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the system's word is what is changed."""
    monkeypatch.setattr("proof.main.parts.database.os.access", lambda *_: False)
    (found,) = problems(proof("config", "check", "--json", **place))
    assert "Permission denied" in found
    for command in KEEPING:
        assert proof(command, **place).stderr == f"proof: {found}\n"


def test_a_port_in_use_is_found_and_told(place: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
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
    away = live | {
        "PROOF_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x",
        "PROOF_LOG_POLICY_FILE": "none",
    }
    assert (
        "database_owner_url is not set" in proof("config", "check", "--production", **away).stdout
    )
