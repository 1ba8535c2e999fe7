"""`proof audit verify` says what it was tied to; `proof refusals` whom it was asked for."""

import itertools
import json
import os
import pwd
import re
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.db.audit.scene import chained
from tests.db.cli.commands import Proof, added, done
from tests.db.cli.conftest import Local
from tests.support.pipeline import ORIGIN, VAULT, key_lines, work

from proof.cli.server.audit import _written
from proof.core.clock import SystemClock
from proof.core.note_keys import SigningKey
from proof.db import Database
from proof.partners.access.refusals import Reason, Refusals
from proof.partners.audit import Actor
from proof.partners.audit_chain import extend
from proof.partners.types import CredentialKind, Environment
from proof.receipts import keys as receipt_keys
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs.audit_heads import HeadSubmitter, newest_proof
from proof.verify import Policy, parse_verifier_key
from proof.verify.cli import main as verifier
from proof.verify.evidence.log.note import COSIGNER_KEY


@pytest.fixture
def kept(run: Any, database: Database, tmp_path: Path) -> tuple[Path, Path]:
    """A saved proof and the log's keys, in files."""

    async def scene() -> tuple[bytes, list[str]]:
        await ensure_log(database, VAULT, "production", ORIGIN)
        await chained(database, "a", "b")
        await HeadSubmitter(database, SystemClock()).step()
        # The key's own entry waits to be chained.
        await prepared(database)
        await work(database, tmp_path)
        async with database.connection() as connection:
            keys = [*await key_lines(connection)]
        return (await newest_proof(database, SystemClock())).body, keys

    body, keys = run(scene())
    (tmp_path / "head.json").write_bytes(body)
    (tmp_path / "keys").write_text("\n".join(keys))
    return tmp_path / "head.json", tmp_path / "keys"


def test_a_saved_proof_without_a_key_of_ones_own_is_not_verified(
    proof: Proof, kept: tuple[Path, Path]
) -> None:
    saved, _ = kept
    result = proof("audit", "verify", "--against", str(saved))
    assert result.exit_code == 3
    assert "name the key you kept with --log-key" in result.stderr
    result = proof("audit", "verify", "--against", str(saved), "--json")
    assert (result.exit_code, json.loads(result.stdout)["tied"]) == (3, False)


def test_with_the_key_it_is(proof: Proof, kept: tuple[Path, Path]) -> None:
    saved, keys = kept
    options = ("--against", str(saved), "--log-key", str(keys), "--json")
    found = json.loads(done(proof("audit", "verify", *options)))
    assert (found["tied"], found["findings"]) == (True, [])


def test_with_a_policy_it_is_where_its_quorum_signed(proof: Proof, kept: tuple[Path, Path]) -> None:
    saved, keys = kept
    trusted = Policy.of_keys(map(parse_verifier_key, keys.read_text().splitlines()))
    stranger = SigningKey.generate("w.example", COSIGNER_KEY)
    other = f"witness w {stranger.text}\nquorum w\n".encode()
    for text, code in ((trusted.text(), 0), (other, 1)):
        (keys.parent / "log.policy").write_bytes(text)
        options = ("--against", str(saved), "--policy", str(keys.parent / "log.policy"))
        result = proof("audit", "verify", *options, "--log-key", str(keys), "--json")
        assert (result.exit_code, json.loads(result.stdout)["tied"]) == (code, True)
    (keys.parent / "log.policy").write_bytes(b"quorum none")
    result = proof("audit", "verify", "--policy", str(keys.parent / "log.policy"))
    assert (result.exit_code, "line 1 of the policy has no newline" in result.stderr) == (2, True)


async def prepared(database: Database) -> None:
    """As the start of a server does it."""
    await ensure_log(database, VAULT, "production", ORIGIN)
    now, starting = SystemClock().now(), Actor("start")
    async with database.transaction() as tx:
        await receipt_keys.ensure_key(tx, VAULT, Environment.PRODUCTION, starting, now)


@pytest.fixture
def about(proof: Proof, run: Any, database: Database, tmp_path: Path) -> tuple[str, Path]:
    """A partner whose name was changed, and the log's keys."""

    async def scene() -> list[str]:
        await prepared(database)
        await extend(database)
        await HeadSubmitter(database, SystemClock()).step()
        await work(database, tmp_path)
        async with database.connection() as connection:
            receipts = await receipt_keys.verifier_keys(connection, Environment.PRODUCTION)
            (tmp_path / "receipts").write_text("\n".join(receipts))
            return [*await key_lines(connection)]

    partner_id = added(proof)["partner_id"]
    done(proof("partner", "edit", partner_id, "--name", "Acme Ltd"))
    done(proof("partner", "suspend", added(proof)["partner_id"]))
    keys = run(scene())
    (tmp_path / "keys").write_text("\n".join(keys))
    return partner_id, tmp_path / "keys"


def test_an_act_on_a_partners_record_is_proved_to_that_partner(
    proof: Proof, about: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    partner_id, keys = about
    (entry,) = json.loads(done(proof("audit", "list", "--action", "partner.edit", "--json")))
    saved, number = keys.parent / "entry.json", str(entry["id"])
    result = proof("audit", "prove", number, "--partner", partner_id, "--out", str(saved))
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"entry {number}, whole, for {partner_id} alone" in result.stderr
    assert proof("audit", "prove", number).stdout == saved.read_text()
    trusted = ["--log-key", str(keys), "--receipt-key", str(keys.parent / "receipts")]
    assert verifier([str(saved), *trusted]) == 0
    told = capsys.readouterr().out
    assert f"partner.edit on {partner_id}" in told
    assert f"by {entry['actor']}" in told
    assert '"name": "Acme Ltd"' in told
    (other,) = json.loads(done(proof("audit", "list", "--action", "partner.suspend", "--json")))
    result = proof("audit", "prove", str(other["id"]), "--partner", partner_id, "--out", str(saved))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"is not about {partner_id}, who must not see it" in result.stderr
    assert json.loads(saved.read_text())["entry"] == entry
    options = ("--against", str(saved), "--log-key", str(keys), "--json")
    assert json.loads(done(proof("audit", "verify", *options)))["findings"] == []


def test_what_is_about_no_partner_is_for_none_and_what_is_not_there_is_said(
    proof: Proof, kept: tuple[Path, Path]
) -> None:
    result = proof("audit", "prove", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--internal" in result.stderr
    assert json.loads(done(proof("audit", "prove", "1", "--internal")))["entry"]["id"] == 1
    result = proof("audit", "prove", "99")
    assert (result.exit_code, "the audit log has no entry 99" in result.stderr) == (2, True)
    result = proof("audit", "prove", "3", "--internal")
    assert (result.exit_code, "waits to be chained" in result.stderr) == (3, True)


def test_the_chain_alone_is_checked_as_before(proof: Proof, kept: tuple[Path, Path]) -> None:
    found = json.loads(done(proof("audit", "verify", "--json")))
    assert (found["tied"], found["checked"]) == (False, 2)


def test_a_finding_comes_before_the_missing_key(proof: Proof, kept: tuple[Path, Path]) -> None:
    saved, _ = kept
    altered = json.loads(saved.read_text())
    altered["auditHead"]["position"] = 1
    saved.write_text(json.dumps(altered))
    assert proof("audit", "verify", "--against", str(saved)).exit_code == 1


def test_the_list_says_who_did_what_where_and_what_it_changed(proof: Proof, local: Local) -> None:
    partner_id = added(proof)["partner_id"]
    done(proof("partner", "edit", partner_id, "--name", "Acme Ltd"))
    (entry,) = json.loads(done(proof("audit", "list", "--action", "partner.edit", "--json")))
    user, host = pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname()
    assert re.fullmatch(rf"cli:(\w+\()?{user}\)?@{re.escape(host)}", entry["actor"])
    first, *changed = done(proof("audit", "list", "--action", "partner.edit")).splitlines()
    assert f"partner.edit  {partner_id}  by {entry['actor']}" in first
    before, after = (line.strip() for line in changed)
    assert (before[:2], after[:2]) == ("- ", "+ ")
    assert json.loads(before[2:]) == entry["before"]
    assert json.loads(after[2:]) == entry["after"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["token.rotate", "partner.suspend", "partner.add"]),
        (("--actor", "cli:"), ["token.rotate", "partner.suspend", "partner.add"]),
        (("--actor", "worker"), []),
        (("--actor", "%"), []),
        (("--action", "partner"), ["partner.suspend", "partner.add"]),
        (("--action", "partner.add"), ["partner.add"]),
        (("--action", "part"), []),
        (("--since", "1h"), ["token.rotate", "partner.suspend", "partner.add"]),
        (("--until", "1h"), []),
        (("--action", "partner", "--limit", "1"), ["partner.suspend"]),
    ],
)
def test_the_list_is_narrowed(proof: Proof, options: tuple[str, ...], expected: list[str]) -> None:
    partner_id = added(proof)["partner_id"]
    done(proof("partner", "suspend", partner_id))
    rotate = ("token", "rotate", partner_id, "--env", "sandbox", "--kind", "api_key", "--json")
    done(proof(*rotate))
    found = json.loads(done(proof("audit", "list", "--partner", partner_id, *options, "--json")))
    assert [item["action"] for item in found] == expected


@pytest.mark.parametrize("options", [("--since", "soon"), ("--partner", "ptr_none")])
def test_the_list_refuses_what_it_cannot_mean(proof: Proof, options: tuple[str, str]) -> None:
    result = proof("audit", "list", *options)
    assert result.exit_code == 2
    assert options[1] in result.stderr


def test_refusals_of_an_unknown_partner(proof: Proof) -> None:
    result = proof("refusals", "--partner", "ptr_none")
    assert result.exit_code == 2
    assert "there is no partner 'ptr_none'" in result.stderr
    assert done(proof("refusals")).startswith("partner")


def test_refusals_of_every_reason_are_shown(proof: Proof, local: Local) -> None:
    added(proof)

    async def act(database: Database) -> None:
        counted = Refusals(database)
        async with database.connection() as connection:
            owner = await connection.fetchval("SELECT min(id) FROM partner_environments")
        for reason, kind in itertools.product(Reason, CredentialKind):
            address, now = ip_address("198.51.100.7"), SystemClock().now()
            counted.note(owner, kind, reason, address, now, "03A4afx1kCKBF")
        await counted.flush()

    local.with_database(act)
    found = json.loads(done(proof("refusals", "--json")))
    assert {(item["reason"], item["kind"]) for item in found} == set(
        itertools.product(Reason, CredentialKind)
    )
    assert all(item["hint"] for item in found)
    text = done(proof("refusals"))
    assert "the partner's backend has to make the call" in text


def test_a_reader_that_has_enough_is_no_failure_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert _written("line\n", flush=True) is False
        assert _written("line\n", flush=True) is True, "what is left goes nowhere, in silence"
