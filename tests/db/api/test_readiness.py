"""/readyz: an API process that could not accept calls says so, and why."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from tests.db.cli.test_migrate_command import url_of
from tests.support.application import Client, staged
from tests.support.garbage import garbage_as_before

from proof.config import Settings, load_settings
from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.main.parts import database as databases
from proof.main.server.compose import asgi
from proof.partners.audit import Actor
from proof.partners.keys.session_signing import ensure_key
from proof.partners.types import Environment

KEY, ANOTHER = "ab" * 32, "cd" * 32
MIB = 1 << 20
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


async def told(client: Client) -> tuple[int, str]:
    answer = await client.call("GET", "/readyz")
    assert list(answer.json) == ["status"]
    return answer.status, answer.json["status"]


@pytest.mark.parametrize(
    ("url", "free", "status"),
    [("", 256 * MIB, 200), ("", 256 * MIB - 1, 503), ("postgresql://elsewhere/proof", 0, 200)],
)
def test_a_full_disk_is_told_where_the_database_is_ours(
    cluster: EmbeddedCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    free: int,
    status: int,
) -> None:
    settings = load_settings({"PROOF_DATA_DIR": str(tmp_path), "PROOF_DATABASE_URL": url})

    def with_this_disk(services: Any) -> Any:
        async def readiness() -> list[str]:
            return await databases.readiness(services.database, settings)

        return replace(services, readiness=readiness)

    with staged(cluster, tmp_path, altered=with_this_disk) as stage:
        asked: list[Path] = []

        def disk_usage(folder: Path) -> Any:
            asked.append(folder)
            return SimpleNamespace(free=free)

        monkeypatch.setattr("proof.main.parts.database.shutil.disk_usage", disk_usage)
        found = stage.run(told(stage.platform.client))
        monkeypatch.undo()
    words = "ready" if status == 200 else f"the disk of {tmp_path} has 255 MiB left"
    assert found == (status, words)
    assert asked == [tmp_path]


async def test_keys_that_are_missing_or_do_not_open_are_told(
    database: Database, database_arguments: dict[str, Any], tmp_path: Path
) -> None:
    settings = load_settings(
        {
            "PROOF_DATABASE_URL": url_of(database_arguments),
            "PROOF_DATA_DIR": str(tmp_path),
            "PROOF_KEY_ENCRYPTION_KEY": KEY,
        }
    )

    async def key(environment: Environment, sealed_under: str) -> None:
        async with database.transaction() as tx:
            await tx.execute("DELETE FROM signing_keys WHERE environment = $1", environment)
            vault = Vault([bytes.fromhex(sealed_under)])
            await ensure_key(tx, vault, environment, Actor("test"), SystemClock().now())

    async with _served(settings) as client:
        missing = "there is no session signing key of {}"
        status, reason = await told(client)
        assert (status, reason.split("; ")) == (
            503,
            [missing.format(PRODUCTION), missing.format(SANDBOX)],
        )
        await key(PRODUCTION, KEY)
        assert await told(client) == (503, missing.format(SANDBOX))
        await key(SANDBOX, ANOTHER)
        status, reason = await told(client)
        assert status == 503
        assert re.fullmatch(
            r"no key-encryption key at hand opens session signing key \S+ of sandbox", reason
        )
        await key(SANDBOX, KEY)
        assert await told(client) == (200, "ready")


async def test_a_database_that_acknowledges_too_early_is_told(
    owner_arguments: dict[str, Any],
    database_arguments: dict[str, Any],
    tmp_path: Path,
) -> None:
    async def scene() -> list[str]:
        owner = await asyncpg.connect(**owner_arguments)
        name = database_arguments["database"]
        await owner.execute(f"ALTER DATABASE {name} SET synchronous_commit = local")
        await owner.close()
        database = await Database.open(database_arguments)
        try:
            return await databases.readiness(
                database, load_settings({"PROOF_DATA_DIR": str(tmp_path)})
            )
        finally:
            await database.close()

    (reason,) = await scene()
    assert reason.startswith("synchronous_commit is local; ")


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[Client]:
    """The application as a process composes it."""
    app = asgi(settings)
    events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, events.get, said.put))  # type: ignore[arg-type]
    with garbage_as_before():
        await events.put({"type": "lifespan.startup"})
        async with asyncio.timeout(60):
            assert (await said.get())["type"] == "lifespan.startup.complete"
    try:
        yield Client(app)
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await life
