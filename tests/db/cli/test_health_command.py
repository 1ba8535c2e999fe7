"""`proof health`, as an alert runs it."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.conftest import Run
from tests.db.cli.test_migrate_command import url_of
from tests.support.commands import PROOF
from tests.support.ports import free_port
from typer.testing import CliRunner, Result

from proof.cli.output import printable
from proof.db import Database
from proof.db.heartbeats import beat

WORKER = uuid4()
NOBODY = "no worker has been alive for 10 s"


def health(url: str, folder: Path, *options: str) -> Result:
    given = {"PROOF_DATABASE_URL": url, "PROOF_DATA_DIR": str(folder)}
    result = CliRunner().invoke(PROOF, ["health", *options], env=given)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize(
    ("failing", "code", "reasons"),
    [
        ({}, 0, {"workers": None, "work": None, "stamping": None}),
        (
            {"signing keys": "the key is \x1b[31mgone"},
            1,
            {"workers": None, "work": "signing keys: the key is \x1b[31mgone", "stamping": None},
        ),
        (None, 1, {"workers": NOBODY, "stamping": None}),
    ],
)
def test_the_exit_code_says_whether_every_part_works(
    run: Run[Any],
    database: Database,
    database_arguments: dict[str, Any],
    tmp_path: Path,
    failing: dict[str, str] | None,
    code: int,
    reasons: dict[str, str | None],
) -> None:
    async def say() -> None:
        async with database.transaction() as tx:
            await beat(tx, WORKER, failing or {})

    if failing is not None:
        run(say())
    url = url_of(database_arguments)
    told, text = health(url, tmp_path, "--json"), health(url, tmp_path)
    assert (told.exit_code, text.exit_code) == (code, code)
    assert json.loads(told.stdout) == {
        "ok": code == 0,
        "parts": [
            {"part": part, "ok": reason is None, "reason": reason, "note": None}
            for part, reason in reasons.items()
        ],
    }
    assert text.stdout.splitlines() == [
        f"{part:8}  {'works' if reason is None else printable(reason)}"
        for part, reason in reasons.items()
    ]
    assert "\x1b" not in told.stdout + text.stdout, "what a worker says moves no terminal"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_database_that_cannot_be_reached_is_an_exit_code_of_its_own(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = health(f"postgresql://proof:proof@127.0.0.1:{free_port()}/proof", tmp_path, *options)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("proof: PostgreSQL cannot be reached")
