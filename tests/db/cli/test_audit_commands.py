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
from proof.partners.types import CredentialKind
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs.audit_heads import newest_proof, submit_head
from proof.verify import Policy, parse_verifier_key
from proof.verify.evidence.log.note import COSIGNER_KEY


@pytest.fixture
def kept(run: Any, database: Database, tmp_path: Path) -> tuple[Path, Path]:
    """A saved proof and the log's keys, in files."""

    async def scene() -> tuple[bytes, list[str]]:
        await ensure_log(database, VAULT, "production", ORIGIN)
        await chained(database, "a", "b")
        await submit_head(database, SystemClock())
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
