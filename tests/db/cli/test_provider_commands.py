"""proof provider and proof sandbox."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.db.cli.conftest import Local
from typer.testing import CliRunner, Result

from proof.cli.installation import ServerOptions
from proof.cli.partners import partner
from proof.cli.ramp import provider, sandbox
from proof.ramp.providers.outcomes import OUTCOMES

SECRETS = ("a widget secret", "a sign key", "a partner token")
GIVEN = {
    "widget_id": "wid",
    "widget_secret": SECRETS[0],
    "sign_key": SECRETS[1],
    "sdk_partner_token": SECRETS[2],
}


@pytest.fixture
def proof(local: Local) -> Callable[..., Result]:
    """Runs `proof <arguments>`; `input` is what is typed."""
    app = typer.Typer()

    def opened(options: ServerOptions) -> Any:
        return local

    partner.register(app, opened)
    provider.register(app, opened)
    sandbox.register(app)

    def run(*arguments: str, **options: Any) -> Result:
        result = CliRunner().invoke(app, arguments, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def partner_id(proof: Callable[..., Result]) -> str:
    done = proof(
        "partner", "add", "--name", "Acme", "--email", "ops@acme.example", "--ip", "203.0.113.7", "--json"
    )  # fmt: skip
    found: str = json.loads(done.stdout)["partner_id"]
    return found


def add(proof: Callable[..., Result], partner_id: str, *more: str, **options: Any) -> Result:
    place = ("--partner", partner_id, "--env", "production")
    return proof("provider", "add", "mercuryo", *place, *more, **options)


def test_credentials_are_asked_for_and_never_shown(
    proof: Callable[..., Result],
    partner_id: str,
    local: Local,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proof.cli.ramp.provider.is_interactive", lambda: True)
    done = add(proof, partner_id, input="\n".join(["wid", *SECRETS, "", "", ""]))
    assert done.exit_code == 0, done.output
    account = local.rows("SELECT id FROM provider_accounts")[0]["id"]
    assert f"https://proof.example/providers/mercuryo/{account}/callback" in done.stdout
    assert not [secret for secret in SECRETS if secret in done.output]


def test_where_nobody_can_type_the_other_ways_are_named(
    proof: Callable[..., Result], partner_id: str
) -> None:
    done = add(proof, partner_id, input="\n".join(GIVEN.values()))
    assert done.exit_code == 2
    assert "--credentials" in done.stderr
    assert all(name in done.stderr for name in GIVEN)


def test_production_without_a_provider_says_so(
    proof: Callable[..., Result], partner_id: str
) -> None:
    def missing() -> dict[str, list[str]]:
        shown = json.loads(proof("partner", "show", partner_id, "--json").stdout)
        return {name: shown[name]["missing"] for name in ("production", "sandbox")}

    said = "provider: no account; `proof provider add` gives it one"
    assert said in missing()["production"]
    assert not [text for text in missing()["sandbox"] if "provider" in text]
    assert add(proof, partner_id, "--credentials", "-", input=json.dumps(GIVEN)).exit_code == 0
    assert said not in missing()["production"]


def test_what_is_made_for_an_account_is_not_asked_for(
    proof: Callable[..., Result], partner_id: str
) -> None:
    place = ("--partner", partner_id, "--env", "sandbox")
    done = proof("provider", "add", "sandbox", *place, input="")
    assert done.exit_code == 0, done.output
    assert "sign_key" not in done.output


def test_a_file_or_standard_input_holds_them(
    proof: Callable[..., Result], partner_id: str, tmp_path: Path
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(GIVEN))
    done = add(proof, partner_id, "--credentials", str(file), "--json")
    account = json.loads(done.stdout)["id"]
    assert add(proof, partner_id, "--credentials", str(file)).exit_code == 2
    place = ("--partner", partner_id, "--env", "production")
    assert account in proof("provider", "remove", *place).stdout
    again = add(proof, partner_id, "--credentials", "-", input=json.dumps(GIVEN))
    assert again.exit_code == 0
    listed = json.loads(proof("provider", "list", "--partner", partner_id, "--json").stdout)
    assert [(item["provider"], item["removed_at"] is None) for item in listed] == [
        ("mercuryo", False),
        ("mercuryo", True),
    ]
    assert listed[0]["id"] == account
    assert partner_id in proof("provider", "list").stdout


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("not json", "--credentials"),
        ("[]", "--credentials"),
        ('{"widget_id": 1}', "--credentials"),
        ("{}", "widget_id"),
        (json.dumps(GIVEN | {"more": "x"}), "more"),
    ],
)
def test_what_is_no_credentials_is_refused_by_name(
    proof: Callable[..., Result], partner_id: str, content: str, named: str
) -> None:
    done = add(proof, partner_id, "--credentials", "-", input=content)
    assert done.exit_code == 2
    assert named in done.stderr
    assert not [secret for secret in SECRETS if secret in done.output]


def test_a_provider_or_partner_that_there_is_not(
    proof: Callable[..., Result], partner_id: str
) -> None:
    place = ("--env", "production", "--credentials", "-")
    nonsense = proof("provider", "add", "nonsense", "--partner", partner_id, *place, input="{}")
    assert (nonsense.exit_code, "mercuryo" in nonsense.stderr) == (2, True)
    nobody = add(proof, "ptr_nobody", "--credentials", "-", input=json.dumps(GIVEN))
    assert (nobody.exit_code, "ptr_nobody" in nobody.stderr) == (2, True)
    none = proof("provider", "remove", "--partner", partner_id, "--env", "production")
    assert none.exit_code == 2


def test_the_outcomes_are_printed_from_their_table(proof: Callable[..., Result]) -> None:
    text = proof("sandbox", "script").stdout
    assert all(outcome.description in text and outcome.card in text for outcome in OUTCOMES)
    rows = json.loads(proof("sandbox", "script", "--json").stdout)
    assert [row["outcome"] for row in rows] == [str(outcome.name) for outcome in OUTCOMES]
    assert {row["card"] for row in rows} == {outcome.card for outcome in OUTCOMES}
