"""proof tx and proof user, as an operator types them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from tests.db.cli.commands import Proof, added, done
from tests.db.cli.conftest import Local
from tests.support.ramp import ADDRESS, EMAIL, USER, hear, make_transaction, said
from typer.testing import CliRunner, Result

from proof.cli.installation import ServerOptions
from proof.cli.invoker import invoker
from proof.cli.ramp import tx, user
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.receipts.keys import ensure_key
from proof.timestamps.anchors.log.service import ensure_log

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)


@pytest.fixture
def ramp(local: Local) -> Callable[..., Result]:
    """Runs `proof tx …` and `proof user …`."""
    app = typer.Typer()

    def opened(options: ServerOptions) -> Any:
        return local

    for commands in (tx, user):
        commands.register(app, opened)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def partner_id(proof: Proof) -> str:
    return str(added(proof)["partner_id"])


@pytest.fixture
def made(local: Local, partner_id: str) -> UUID:
    """A transaction whose coins could not be delivered."""
    (row,) = local.rows(
        "SELECT id FROM partner_environments WHERE partner_id = $1 AND environment = 'production'",
        partner_id,
    )

    async def act(database: Database) -> UUID:
        transaction = await make_transaction(database, local.secrets, row["id"])
        paid = {"fiat_currency": "EUR", "fiat_amount": Decimal("46.10")}
        how = {"said": "withdraw: failed\x1b[31m", **paid}
        stuck = said(transaction, ProviderStatus.UNDELIVERABLE, **how)
        await hear(database, local.secrets, stuck)
        return transaction

    return local.with_database(act)


def output(result: Result) -> Any:
    return json.loads(done(result))


def test_those_that_need_a_person_are_listed(
    ramp: Proof, made: UUID, partner_id: str, local: Local
) -> None:
    [item] = output(ramp("tx", "list", "--alerted", "--json"))
    assert (item["id"], item["partner_id"], item["alert"]) == (
        str(made),
        partner_id,
        "undeliverable",
    )
    assert item["crypto_amount"] == "50.000000000000000001"
    assert str(made) in done(ramp("tx", "list"))
    assert output(ramp("tx", "list", "--status", "failed", "--json")) == []
    assert output(ramp("tx", "list", "--env", "sandbox", "--json")) == []
    assert done(ramp("tx", "list", "--limit", "1000"))
    assert ramp("tx", "list", "--limit", "1001").exit_code == 2


def test_one_is_shown_with_its_history_and_nobodys_address(ramp: Proof, made: UUID) -> None:
    shown = output(ramp("tx", "show", str(made), "--json"))
    assert [event["status"] for event in shown["events"]] == ["processing"]
    assert shown["statements"][0]["said"] == "withdraw: failed\x1b[31m"
    text = done(ramp("tx", "show", str(made)))
    assert "\x1b" not in text
    for personal in (EMAIL, ADDRESS):
        assert personal not in text + json.dumps(shown)


def test_an_operator_decides(ramp: Proof, made: UUID, local: Local) -> None:
    how = ("tx", "resolve", str(made), "failed", "--reason", "sent back")
    assert output(ramp(*how, "--json"))["events"] == ["failed"]
    assert "already" in done(ramp(*how))
    (entry, _) = local.rows("SELECT * FROM audit_log WHERE action = 'transaction.resolve'")
    assert (entry["actor"], json.loads(entry["after"])["reason"]) == (invoker().name, "sent back")
    refused = ramp("tx", "resolve", str(made), "completed", "--reason", "or not")
    assert refused.exit_code == 1
    assert "failed for good" in refused.stderr


def test_an_operator_tells_of_a_refund(ramp: Proof, made: UUID, local: Local) -> None:
    how = ("tx", "refund", str(made), "--reason", "ticket 4711")
    told = output(ramp(*how, "--status", "requested", "--amount", "46.1", "--json"))
    assert told == {
        "merchant_transaction_id": str(made),
        "refund_status": "requested",
        "refund_amount": "46.10",
        "refunded_at": "",
    }
    said = done(ramp(*how, "--status", "refunded", "--amount", "46.10"))
    assert said == f"{made} stays processing; refunded: 46.10 EUR\n"
    shown = output(ramp("tx", "show", str(made), "--json"))["transaction"]
    assert (shown["refund_status"], shown["refund_amount"]) == ("refunded", "46.10")
    assert "46.10" in done(ramp("tx", "show", str(made)))
    entry, _ = local.rows("SELECT * FROM audit_log WHERE action = 'transaction.refund'")
    assert (entry["actor"], json.loads(entry["after"])["reason"]) == (invoker().name, "ticket 4711")
    refused = ramp(*how, "--status", "requested", "--amount", "1")
    assert refused.exit_code == 1
    assert "only charged_back can follow" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "4711"),
        ("show", str(uuid4())),
        ("receipt", "4711"),
        ("receipt", str(uuid4())),
        ("disclose", str(uuid4()), "--field", "address"),
        ("resolve", str(uuid4()), "failed", "--reason", "why"),
        ("resolve", str(uuid4()), "pending", "--reason", "why"),
        ("refund", str(uuid4()), "--status", "requested", "--amount", "1", "--reason", "why"),
        ("refund", str(uuid4()), "--status", "requested", "--amount", "1,5", "--reason", "why"),
        ("list", "--partner", "ptr_nobody"),
    ],
)
def test_what_there_is_not_is_said(ramp: Proof, arguments: tuple[str, ...]) -> None:
    refused = ramp("tx", *arguments)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("proof: ")


def test_a_user_is_erased_once(ramp: Proof, made: UUID, partner_id: str, local: Local) -> None:
    erased = output(ramp("user", "erase", partner_id, USER, "--json"))
    assert erased == {"users": 1, "transactions": 1, "values": 4, "callbacks": 0}
    again = ramp("user", "erase", partner_id, USER)
    assert again.exit_code == 1
    assert USER not in done(ramp("tx", "show", str(made)))
    (entry,) = local.rows("SELECT * FROM audit_log WHERE action = 'user.erase'")
    assert json.loads(entry["after"]) == {"environment": "production", "transactions": 1}


def test_a_receipt_and_what_its_holder_shows_of_it(
    ramp: Proof, made: UUID, local: Local, tmp_path: Path
) -> None:
    async def prepared(database: Database) -> None:
        await ensure_log(database, local.secrets, "production", "proof.example/log")
        async with database.transaction() as unit:
            await ensure_key(unit, local.secrets, Environment.PRODUCTION, invoker(), NOW)

    local.with_database(prepared)
    receipt = output(ramp("tx", "receipt", str(made)))
    kept = tmp_path / "receipt.json"
    assert str(kept) in ramp("tx", "receipt", str(made), "--out", str(kept)).stderr
    assert json.loads(kept.read_text())["records"] == receipt["records"]
    place = tmp_path / "address.json"
    shown = ("tx", "disclose", str(made), "--field", "address")
    assert done(ramp(*shown, "--out", str(place))) == ""
    disclosure = json.loads(place.read_text())
    assert disclosure == output(ramp(*shown))
    for each in disclosure["disclosures"]:
        record = receipt["records"][each["sequence"] - 1]["record"]
        salted = sha256(bytes.fromhex(each["salt"]) + ADDRESS.encode())
        assert (each["value"], record["address_sha256"]) == (ADDRESS, salted.hexdigest())
    assert len(disclosure["disclosures"]) == len(receipt["records"])
    assert len(local.rows("SELECT FROM audit_log WHERE action = 'transaction.disclose'")) == 2
    unknown = ramp("tx", "disclose", str(made), "--field", "password")
    assert unknown.exit_code == 1
    assert "address, user_email" in unknown.stderr
    nowhere = ramp("tx", "receipt", str(made), "--out", str(tmp_path / "no" / "file"))
    assert (nowhere.exit_code, "--out" in nowhere.stderr) == (1, True)
