"""proof log retire, as an operator types it."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.db.cli.commands import Proof, done
from tests.db.cli.conftest import Local
from tests.support.pipeline import ORIGIN, VAULT, key_lines, owner, work

from proof.cli import output
from proof.cli.log import retirement as command
from proof.db import Database
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.submissions.committer import Committer

RETIRE = ("log", "retire", ORIGIN, "--yes")
SUCCESSOR = f"{ORIGIN}/2"


@pytest.fixture
def published(run: Callable[[Any], Any], database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        await ensure_log(database, VAULT, "production", ORIGIN)
        committer = Committer(database)
        committer.start()
        await committer.commit(owner().id, owner().environment, [sha256(b"leaf").digest()])
        await committer.close()
        await work(database, tmp_path)

    run(scene())


def test_it_says_what_was_closed_and_what_to_do_next(
    published: None, proof: Proof, database: Database, run: Callable[[Any], Any]
) -> None:
    text = done(proof(*RETIRE, "--reason", "the disk failed [bold]"))
    assert f"closed     {ORIGIN} at 1 entries" in text
    assert "kept       1" in text
    assert "reason     the disk failed [bold]" in text
    assert f"successor  {SUCCESSOR}" in text

    async def current() -> list[str]:
        async with database.connection() as connection:
            return await key_lines(connection)

    assert run(current())[0] in text
    assert "have each witness add the successor's key" in text.replace("\n", " ")
    found = json.loads(done(proof(*RETIRE, "--json")))
    assert found["successor_vkey"] == run(current())[0]
    assert (found["origin"], found["successor"]) == (ORIGIN, SUCCESSOR)
    assert (found["size"], found["kept_size"], found["number"]) == (1, 1, 1)
    assert found["reason"] == "the disk failed [bold]"
    assert found["note"].startswith(f"{ORIGIN}\n1\n")
    (entry,) = json.loads(done(proof("audit", "list", "--action", "log.retire", "--json")))
    assert entry["before"] == {"environment": "production", "log": ORIGIN}


def test_whoever_sits_there_is_asked_and_may_say_no(
    published: None, proof: Proof, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (output, command):
        monkeypatch.setattr(module, "is_interactive", lambda: True)
    refused = proof("log", "retire", input="n\n")
    assert refused.exit_code == 1
    assert f"log        {ORIGIN}, 1 entries here" in refused.stdout
    assert "closes at  1 entries, the last that were published" in refused.stdout
    assert f"successor  {SUCCESSOR}" in refused.stdout
    assert local.rows("SELECT FROM logs WHERE retired_at IS NOT NULL") == []
    assert f"closed     {ORIGIN}" in done(proof("log", "retire", input="y\n"))
    assert len(local.rows("SELECT FROM logs WHERE retired_at IS NOT NULL")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("log", "retire"), "nobody is here to confirm"),
        (("log", "retire", ORIGIN, "--json"), "nobody is here to confirm"),
        (("log", "retire", "--yes"), f"name the log to close, which is {ORIGIN} now"),
        (("log", "retire", "other.example", "--yes"), "no production log has the origin"),
        ((*RETIRE, "--reason", ""), "--reason"),
        ((*RETIRE, "--origin", "a b"), "--origin"),
        ((*RETIRE, "--origin", "é" * 124), "--origin"),
        ((*RETIRE, "--origin", "a\u202eb"), "--origin"),
        ((*RETIRE, "--checkpoint", "/nowhere"), "--checkpoint: /nowhere: No such file"),
        ((*RETIRE, "--checkpoint", __file__), "was not signed by the key of the log"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    published: None, proof: Proof, local: Local, arguments: tuple[str, ...], said: str
) -> None:
    result = proof(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert local.rows("SELECT FROM logs WHERE retired_at IS NOT NULL") == []


@pytest.mark.parametrize("form", ["{}", '{{"evidence": {{"checkpoint": {}}}}}'])
def test_the_last_checkpoint_may_be_in_a_file_of_its_own_or_in_a_proof(
    published: None, proof: Proof, local: Local, tmp_path: Path, form: str
) -> None:
    ((note,),) = local.rows("SELECT note FROM log_checkpoints")
    file = tmp_path / "kept"
    file.write_text(form.format(note if form == "{}" else json.dumps(note)))
    assert f"closed     {ORIGIN} at 1 entries" in done(proof(*RETIRE, "--checkpoint", str(file)))
