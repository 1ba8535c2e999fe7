"""Every command that needs the database says plainly that it is away, and what to do; none shows where it
was raised."""

import json
from pathlib import Path

import pytest
from tests.support.commands import PROOF
from tests.support.ports import free_port
from typer.testing import CliRunner

from proof.main.server.pages import commands

PARTNER = "ptr_0Ie1P2uMi2fCZ"
NAME = "00000000-0000-4000-8000-000000000000"
PLACE = (PARTNER, "--env", "sandbox")
LIST = (*PLACE, "--kind", "api_key")
# A command and what it has to be given.
COMMANDS: dict[str, tuple[str, ...]] = {
    "refusals": (),
    "fsck": (),
    "health": (),
    "chains": (),
    "db migrate": (),
    "partner add": ("--name", "Acme", "--email", "ops@acme.example", "--ip", "203.0.113.7"),
    "partner handover": (PARTNER,),
    "partner show": (PARTNER,),
    "partner list": (),
    "partner suspend": (PARTNER,),
    "partner resume": (PARTNER,),
    "partner edit": (PARTNER, "--name", "Other"),
    "partner apply": ("FILE", "--yes"),
    "operator add": ("--name", "Anna", "--scope", "read"),
    "operator list": (),
    "operator revoke": ("0Ie1P2uMi2fCZ",),
    "webhook endpoints": (),
    "webhook deliveries": (),
    "webhook change": (*PLACE, "--endpoint", NAME, "--enable"),
    "webhook replay": (*PLACE, "--endpoint", NAME, "--since", "1h"),
    "webhook test": PLACE,
    "webhook secret rotate": PLACE,
    "webhook secret show": PLACE,
    "provider add": ("mercuryo", "--partner", PARTNER, "--env", "sandbox", "--credentials", "FILE"),
    "provider list": (),
    "provider remove": ("--partner", PARTNER, "--env", "sandbox"),
    "token rotate": (*PLACE, "--kind", "api_key"),
    "token revoke": ("0Ie1P2uMi2fCZ",),
    "token list": (PARTNER,),
    "allowlist show": LIST,
    "allowlist add": (PARTNER, "203.0.113.7", *LIST[1:]),
    "allowlist remove": (PARTNER, "203.0.113.7", *LIST[1:]),
    "allowlist mode": (PARTNER, "report", *LIST[1:]),
    "rate set": (*PLACE, "--class", "submit", "--calls", "1"),
    "rate show": (PARTNER,),
    "audit list": (),
    "audit export": (),
    "audit verify": (),
    "audit proof": (),
    "audit prove": ("1",),
    "log export": ("exported",),
    "log retire": ("proof.example/log", "--yes"),
    "keys list": (),
    "keys rotate": ("--env", "sandbox"),
    "keys receipts list": (),
    "keys receipts rotate": ("--env", "sandbox"),
    "secrets check": (),
    "secrets rewrap": (),
    "tx show": (NAME,),
    "tx receipt": (NAME,),
    "tx disclose": (NAME, "--field", "address"),
    "tx list": (),
    "tx resolve": (NAME, "failed", "--reason", "the bank said so"),
    "tx refund": (NAME, *("--status", "requested", "--amount", "5", "--reason", "ticket 4711")),
    "tx watch": (NAME,),
    "statement list": (PARTNER, "--env", "sandbox"),
    "statement export": (PARTNER, "2026-11-21", "--env", "sandbox"),
    "user erase": (PARTNER, "user-1"),
}
FILES = {
    "partner apply": f'partner_id = "{PARTNER}"',
    "provider add": json.dumps(
        dict.fromkeys(("widget_id", "widget_secret", "sign_key", "sdk_partner_token"), "given")
    ),
}
# Processes wait for the database, `config check` finds it away among other things, and the others are the
# client's, or ask nobody.
OTHERS = {
    *("", "serve", "api", "worker", "config check"),
    *(
        "stamp",
        "status",
        "fetch",
        "verify",
        "log key",
        "log monitor",
        "log mirror",
        "headers sync",
        "ots upgrade",
        "ots export",
    ),
    "sandbox script",
    *(f"witness {command}" for command in ("init", "serve", "add", "remove", "list")),
}


def test_no_command_is_forgotten() -> None:
    assert {command.name.removeprefix("proof").strip() for command in commands()} == {
        *COMMANDS
    } | OTHERS


@pytest.mark.parametrize("command", COMMANDS)
def test_it_says_what_and_what_to_do(command: str, tmp_path: Path) -> None:
    file = tmp_path / "given.json"
    file.write_text(FILES.get(command, ""))
    file.chmod(0o600)
    given = {
        "PROOF_DATABASE_URL": f"postgresql://proof:secret@127.0.0.1:{free_port()}/proof",
        "PROOF_DATA_DIR": str(tmp_path),
    }
    options = [str(file) if each == "FILE" else each for each in COMMANDS[command]]
    arguments = [*command.split(), *options]
    result = CliRunner().invoke(PROOF, arguments, env=given)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 4, result.output
    assert result.stderr.lstrip().startswith("proof: PostgreSQL cannot be reached: "), result.output
    assert "see with `proof config check` that PostgreSQL runs" in result.stderr
    assert "secret" not in result.output
    assert not result.stdout
