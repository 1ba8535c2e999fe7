"""proof partner handover and proof operator: what is shown once, and to whom."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.db.cli.commands import ADD, SECRET, Proof, added, done
from tests.db.cli.conftest import BASE_URLS, Local
from tests.support.partners import WEBHOOKS
from tests.support.relay import relay

from proof.core.clock import SystemClock
from proof.db import Database
from proof.mail import Mailer, Security
from proof.partners.audit import Actor
from proof.partners.handover.opening import open_sheet
from proof.ramp.providers.accounts import lacking_provider


def test_the_integration_sheet_has_no_secret(proof: Proof) -> None:
    partner_id = added(proof)["partner_id"]
    text = done(proof("partner", "handover", partner_id))
    assert text.startswith("# Acme: integration sheet\n")
    assert not SECRET.search(text)
    assert json.loads(done(proof("partner", "handover", partner_id, "--json")))["markdown"] == text


def opened(local: Local, url: str) -> str:
    async def run(database: Database) -> str:
        async with database.transaction() as tx:
            now = SystemClock().now()
            how = (WEBHOOKS, lacking_provider, BASE_URLS, url.partition("#")[2], now, Actor("test"))
            return await open_sheet(tx, local.vault(), *how)

    return local.with_database(run)


@pytest.mark.parametrize("command", ["add", "handover"])
def test_a_link_is_printed_without_a_relay(proof: Proof, local: Local, command: str) -> None:
    arguments = ADD if command == "add" else ("partner", "handover", added(proof)["partner_id"])
    printed = json.loads(done(proof(*arguments, "--link", "--json")))
    assert list(printed) == ["partner_id", "handover_url", "expires_at", "mailed_to"]
    assert printed["mailed_to"] is None
    assert not SECRET.search(json.dumps(printed))
    sheet = opened(local, printed["handover_url"])
    assert len(SECRET.findall(sheet)) == 6
    text = done(proof(*arguments, "--link"))
    assert "https://proof.example/handover#" in text


def test_a_link_is_mailed_and_then_shown_to_nobody_else(proof: Proof, local: Local) -> None:
    with relay() as found:
        local.relay = Mailer("127.0.0.1", found.port, Security.NONE, "proof@proof.example")
        text = done(proof(*ADD, "--link"))
        assert "mailed to ops@acme.example" in text
        assert "#" not in text
        mailed = found.text.replace("=\n", "").replace("=3D", "=")
        (url,) = re.findall(r"https://proof\.example/handover#\w{43}", mailed)
        assert not SECRET.search(mailed)
    assert SECRET.search(opened(local, url))


def test_a_relay_that_fails_loses_nothing(proof: Proof, local: Local) -> None:
    with relay(refuse="RCPT") as found:
        local.relay = Mailer("127.0.0.1", found.port, Security.NONE, "proof@proof.example")
        result = proof(*ADD, "--link", "--json")
    printed = json.loads(done(result))
    assert "send the link yourself" in result.stderr
    assert SECRET.search(opened(local, printed["handover_url"]))


def test_operators_come_and_go(proof: Proof, local: Local) -> None:
    issued = json.loads(
        done(proof("operator", "add", "--name", "Back", "--scope", "read", "--json"))
    )
    assert re.fullmatch(r"proof_ops_\w{13}_\w{43}_\w{6}", issued["token"])
    assert "proof_ops_" in done(proof("operator", "add", "--name", "Two", "--scope", "write"))
    listed = json.loads(done(proof("operator", "list", "--json")))
    assert [(item["name"], item["scope"], item["revoked_at"]) for item in listed] == [
        ("Back", "read", None),
        ("Two", "write", None),
    ]
    assert "is revoked" in done(proof("operator", "revoke", issued["key_id"]))
    text = done(proof("operator", "list"))
    assert re.search(r"  write  expires \d{4}-\d\d-\d\d \d\d:\d\d  Two$", text, re.MULTILINE)
    assert re.search(rf"{issued['key_id']}  read   revoked \d{{4}}-", text)
    assert not SECRET.search(text + json.dumps(listed))
    actions = [row["action"] for row in local.rows("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["operator.add", "operator.add", "operator.revoke"]


def test_an_operators_end_and_addresses_are_set_and_shown(proof: Proof, local: Local) -> None:
    add = ("operator", "add", "--name", "Back", "--scope", "read", "--days", "90", "--ip",
           "192.0.2.0/28", "--ip", "2001:db8::1")  # fmt: skip
    issued = json.loads(done(proof(*add, "--json")))
    assert issued["ips"] == ["192.0.2.0/28", "2001:db8::1/128"]
    days = datetime.fromisoformat(issued["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < days < timedelta(days=91)
    (listed,) = json.loads(done(proof("operator", "list", "--json")))
    assert {name: listed[name] for name in ("expires_at", "ips")} == {
        name: issued[name] for name in ("expires_at", "ips")
    }
    assert "Back  from 192.0.2.0/28, 2001:db8::1/128\n" in done(proof("operator", "list"))
    (row,) = local.rows("SELECT after FROM audit_log")
    after = json.loads(row["after"])
    assert (after["expires_at"], after["ips"]) == (issued["expires_at"], issued["ips"])
    local.rows("UPDATE operators SET expires_at = now()")
    assert "  expired 20" in done(proof("operator", "list"))
    text = done(proof("operator", "add", "--name", "Any", "--scope", "read"))
    assert "ips     any address\n" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("operator", "add", "--name", "x", "--scope", "read", "--days", "0"),
        ("operator", "add", "--name", "x", "--scope", "read", "--ip", "192.0.2.1/24"),
        ("operator", "add", "--name", "x", "--scope", "read", "--ip", "::/0"),
        ("operator", "add", "--name", "x", "--scope", "all"),
        ("operator", "add", "--name", "", "--scope", "read"),
        ("operator", "revoke", "nobody"),
    ],
)
def test_operator_commands_refuse(proof: Proof, arguments: tuple[str, ...]) -> None:
    assert proof(*arguments).exit_code == 2
    assert json.loads(done(proof("operator", "list", "--json"))) == []
