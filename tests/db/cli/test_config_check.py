"""`proof config check` opens the database as both roles, and says what a start would refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Run
from tests.db.cli.test_migrate_command import url_of
from tests.support.commands import PROOF
from tests.support.fake_witness import FakeWitness, fake_witness
from tests.support.ports import free_port
from typer.testing import CliRunner, Result

from proof.config import load_settings
from proof.core.clock import SystemClock
from proof.core.note_keys import SigningKey
from proof.core.secrets import Vault
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.main.checks.findings import _application
from proof.main.checks.witnesses import shared_hosts
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import public_keys
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.service import LogWriter
from proof.verify.evidence.log.note import COSIGNER_KEY, LOG_KEY, VerifierKey

Given = dict[str, str]
KEY = "ab" * 32


@pytest.fixture
def given(
    owner_arguments: dict[str, Any], database_arguments: dict[str, Any], tmp_path: Path
) -> Given:
    return {
        "PROOF_DATABASE_URL": url_of(database_arguments),
        "PROOF_DATABASE_OWNER_URL": url_of(owner_arguments),
        "PROOF_DATA_DIR": str(tmp_path / "data"),
        "PROOF_PORT": str(free_port()),
        "PROOF_KEY_ENCRYPTION_KEY": KEY,
    }


def proof(given: Given, *arguments: str) -> Result:
    result = CliRunner().invoke(PROOF, arguments, env=given)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def said(given: Given, level: str, *options: str) -> list[str]:
    result = proof(given, "config", "check", "--json", *options)
    checks = json.loads(result.stdout)["checks"]
    assert (result.exit_code == 2) is any(check["level"] == "problem" for check in checks)
    return [check["text"] for check in checks if check["level"] == level]


def test_a_folder_that_another_proof_holds_is_told(cluster: EmbeddedCluster) -> None:
    """To have it checked while it runs is ordinary, so that is a warning."""
    given = {"PROOF_DATA_DIR": str(cluster._folders.data_dir), "PROOF_PORT": str(free_port())}
    (found,) = [text for text in said(given, "warning") if "another Proof runs on" in text]
    assert proof(given, "serve").stderr == f"proof: {found}\n"


async def published(database: Database, folder: Path) -> VerifierKey:
    """The production log has a checkpoint; its key."""
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at,"
            " leaf_count, root, plain_root) VALUES (1, 'production', sha256('b'), now(), now(), 2,"
            " sha256('r'), sha256('p'))"
        )
    vault = Vault([bytes.fromhex(KEY)])
    writer = LogWriter(database, vault, SystemClock(), "production", Marks(folder))
    await writer.append()
    assert await writer.publish()
    async with database.connection() as connection:
        log = await queries.head(connection, "production")
        return (await public_keys(connection, log.log_id))[0]


def test_each_witness_is_asked_for_what_is_published(
    given: Given, run: Run[Any], database: Database, tmp_path: Path
) -> None:
    assert proof(given, "db", "migrate").exit_code == 0
    policy = tmp_path / "policy"
    given |= {"PROOF_LOG_POLICY_FILE": str(policy), "PROOF_SANDBOX_LOG_POLICY_FILE": "none"}
    key = run(published(database, tmp_path))
    stranger = SigningKey.generate("other.example", LOG_KEY).public
    with (
        fake_witness("a.example", key, (COSIGNER_KEY,)) as good,
        fake_witness("b.example", stranger, (COSIGNER_KEY,)) as unknowing,
        fake_witness("c.example", key, (COSIGNER_KEY,)) as other,
    ):
        gone = f"http://127.0.0.1:{free_port()}"
        another_key = FakeWitness("c.example", key, (COSIGNER_KEY,))
        lines = good.lines("a") + unknowing.lines("b")
        away = FakeWitness("d.example", key, (COSIGNER_KEY,))
        lines += another_key.lines("c", other.url) + away.lines("d", gone)
        policy.write_text(f"{lines}group all all a b c d\nquorum all\n")
        warnings = "\n".join(said(given, "warning"))
        assert f"{good.url} is there" in said(given, "ok")
    assert f"the witness {unknowing.url} answers with HTTP status 404" in warnings
    assert f"the witness {other.url}: it signed with none of the keys" in warnings
    assert f"the witness {gone} does not answer" in warnings
    policy.write_text(lines.replace(good.url, "http://no-such-host.invalid"))
    assert any("has no quorum line" in text for text in said(given, "problem"))


def test_witnesses_that_share_a_machine_with_proof_or_each_other_are_told(
    given: Given, tmp_path: Path
) -> None:
    places = ["127.0.0.1:7", "192.0.2.7:1", "192.0.2.7:2/b", "192.0.2.8"]
    keys = [SigningKey.generate(f"{n}.example", COSIGNER_KEY).text for n in range(4)]
    lines = [
        f"witness w{n} {key} http://{place}"
        for n, (key, place) in enumerate(zip(keys, places, strict=True))
    ]
    policy = tmp_path / "policy"
    policy.write_text("\n".join([*lines, "group g 3 w0 w1 w2 w3", "quorum g", ""]))
    settings = load_settings(given | {"PROOF_LOG_POLICY_FILE": str(policy)})
    texts = [finding.text for finding in shared_hosts(settings) if "sandbox" not in finding.subject]
    assert len(texts) == 2
    assert texts[0].startswith("http://127.0.0.1:7 is on the machine of Proof")
    assert texts[1].startswith("http://192.0.2.7:2/b and http://192.0.2.7:1 share a machine")


def test_the_database_is_opened_as_both_roles(given: Given) -> None:
    assert proof(given, "db", "migrate").exit_code == 0
    assert said(given, "problem") == []
    fine = said(given, "ok")
    assert any("owns the tables" in text for text in fine)
    assert any("the schema is at revision" in text for text in fine)
    assert "the key-encryption key opens its secrets" in fine
    other = given | {"PROOF_KEY_ENCRYPTION_KEY": "cd" * 32}
    (problem,) = said(other, "problem")
    assert "give the key that sealed it" in problem
    for command in ("serve", "api", "worker"):
        stopped(other, command, problem)


def stopped(given: Given, command: str, said: str) -> None:
    """A start ends with these words, after what is logged while it looks."""
    started = proof(given, *command.split())
    assert started.exit_code == 2
    lines = [line for line in started.stderr.splitlines() if not line.startswith("{")]
    assert lines == [f"proof: {said}"]


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_database_without_tables_stops_all_but_serve(
    given: Given, run: Run[Any], owner_arguments: dict[str, Any], command: str
) -> None:
    async def scene() -> None:
        owner = await Database.open(owner_arguments)
        async with owner.connection() as connection:
            await connection.execute("DROP TABLE alembic_version")
        await owner.close()

    run(scene())
    assert said(given, "problem") == []
    (found,) = [text for text in said(given, "warning") if "no tables" in text]
    stopped(given, command, found)


def _at(revision: str) -> Callable[[Database], Any]:
    async def change(database: Database) -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE alembic_version SET version_num = $1", revision)

    return change


@pytest.mark.parametrize(
    ("revision", "next_step"), [("0001", "proof db migrate"), ("9999", "install the newer version")]
)
def test_another_schema_is_found_and_refused(
    given: Given,
    owner_arguments: dict[str, Any],
    run: Run[Any],
    revision: str,
    next_step: str,
) -> None:
    async def scene() -> None:
        owner = await Database.open(owner_arguments)
        await _at(revision)(owner)
        await owner.close()

    run(scene())
    (problem,) = said(given, "problem")
    assert f"revision {revision}" in problem
    assert next_step in problem
    # What is older `proof serve` brings up to date.
    for command in ("worker", "api", *(["serve"] if revision == "9999" else [])):
        stopped(given, command, problem)


@pytest.mark.parametrize("variable", ["PROOF_DATABASE_URL", "PROOF_DATABASE_OWNER_URL"])
@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_role_that_is_not_let_in_is_named(given: Given, variable: str, wrong: str) -> None:
    url = given[variable]
    if wrong == "password":
        login, _, rest = url.rpartition("@")
        bad = f"{login.rpartition(':')[0]}:wrong@{rest}"
    else:
        bad = url.replace("/test_", "/none_")
    given = given | {variable: bad}
    (problem,) = said(given, "problem")
    assert f"the role of {variable}" in problem
    assert "wrong" not in problem
    for command in ("db migrate", "serve") if "OWNER" in variable else ("worker", "api", "serve"):
        stopped(given, command, problem)


def test_one_role_for_everything_is_a_problem_in_production(given: Given) -> None:
    owner = given["PROOF_DATABASE_OWNER_URL"]
    same = given | {"PROOF_DATABASE_URL": owner, "PROOF_DATABASE_OWNER_URL": ""}
    assert any("can change the audit log" in text for text in said(same, "warning"))
    problems = said(same, "problem", "--production")
    assert any("can change the audit log" in text for text in problems)
    assert any("database_owner_url is not set" in text for text in problems)


def test_the_application_role_is_no_owner(given: Given) -> None:
    swapped = given | {"PROOF_DATABASE_OWNER_URL": given["PROOF_DATABASE_URL"]}
    (problem,) = said(swapped, "problem")
    assert "name their owner in PROOF_DATABASE_OWNER_URL" in problem


def test_a_commit_that_is_not_durable_is_a_problem(
    given: Given, owner_arguments: dict[str, Any], run: Run[Any]
) -> None:
    async def scene() -> None:
        owner = await Database.open(owner_arguments)
        async with owner.connection() as connection:
            name = owner_arguments["database"]
            await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        await owner.close()

    run(scene())
    assert any(text.startswith("synchronous_commit is off") for text in said(given, "problem"))


@pytest.mark.parametrize(("production", "level"), [(False, "warning"), (True, "problem")])
def test_a_pooler_that_drops_our_timeout_is_found(production: bool, level: str) -> None:
    row = {
        "role": "proof_app", "superuser": False, "owns": False, "rewrites": False, "idle_timeout": "0",
    }  # fmt: skip
    ((found, text),) = _application(row, production=production)
    assert found == level
    assert text.startswith("idle_in_transaction_session_timeout is off")
    assert list(_application(row | {"idle_timeout": "4s"}, production=production)) == []
