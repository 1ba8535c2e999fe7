"""`proof db migrate` leaves the recorded base URLs alone unless it is told where Proof is served."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from tests.conftest import Run
from tests.support.commands import PROOF
from typer.testing import CliRunner

from proof.db import Database
from proof.partners import service
from proof.partners.types import Environment


def test_recorded_base_urls_are_kept(
    owner_arguments: dict[str, Any],
    database_arguments: dict[str, Any],
    database: Database,
    run: Run[Any],
    tmp_path: Path,
) -> None:
    given = {
        "PROOF_DATABASE_URL": url_of(database_arguments),
        "PROOF_DATABASE_OWNER_URL": url_of(owner_arguments),
        "PROOF_DATA_DIR": str(tmp_path / "data"),
    }

    def recorded_after(**settings: str) -> str:
        done = CliRunner().invoke(PROOF, ["db", "migrate"], env=given | settings)
        assert done.exit_code == 0, done.output
        return str(run(recorded(database))[Environment.PRODUCTION])

    assert recorded_after(PROOF_PORT="9000") == "http://127.0.0.1:9000"
    assert recorded_after(PROOF_PORT="9001") == "http://127.0.0.1:9000"
    assert recorded_after(PROOF_PUBLIC_URL="https://proof.example") == "https://proof.example"
    assert recorded_after() == "https://proof.example"


def test_a_role_that_may_not_migrate_is_told_so(
    owner_arguments: dict[str, Any],
    database_arguments: dict[str, Any],
    run: Run[Any],
    tmp_path: Path,
) -> None:
    settings = {
        "PROOF_DATABASE_URL": url_of(database_arguments),
        "PROOF_DATA_DIR": str(tmp_path / "data"),
    }
    run(as_if_never_migrated(owner_arguments))
    done = CliRunner().invoke(PROOF, ["db", "migrate"], env=settings)
    assert done.exit_code == 2, done.output
    assert (
        "cannot bring the tables up to date; name their owner in PROOF_DATABASE_OWNER_URL"
        in done.stderr
    )


async def as_if_never_migrated(owner: dict[str, Any]) -> None:
    connection = await asyncpg.connect(**owner)
    await connection.execute("DELETE FROM alembic_version")
    await connection.close()


async def recorded(database: Database) -> dict[Environment, str]:
    async with database.connection() as connection:
        return await service.base_urls(connection)


def url_of(arguments: dict[str, Any]) -> str:
    host = quote(arguments["host"], safe="")
    login = f"{arguments['user']}:{arguments['password']}"
    return f"postgresql://{login}@/{arguments['database']}?host={host}&port={arguments['port']}"
