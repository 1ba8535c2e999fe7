"""/ws on a real `proof serve` of two HTTP processes, and the page's own example of a client."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.ramp import hear, make_transaction, said
from tests.support.served import Server, served
from tests.support.websockets import watching

from proof.config import load_settings
from proof.db import Database
from proof.main.parts.database import arguments
from proof.main.parts.keys import open_vault
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.web.contents import source

Run = Callable[[Any], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served({"PROOF_PROCESSES": "2"}) as found:
        yield found


class Backstage:
    """The server's database, and a partner whose transactions move."""

    def __init__(self, server: Server, database: Database) -> None:
        self.server = server
        self.database = database
        self.vault = open_vault(load_settings({}, data_dir=server.data_dir))
        self.port = int(server.url.rpartition(":")[2])
        self.partner = server.add_partner()
        self.token: str = self.partner["production"]["client_token"]

    async def owner(self) -> int:
        async with self.database.connection() as connection:
            found: int = await connection.fetchval(
                "SELECT id FROM partner_environments WHERE partner_id = $1 AND environment = $2",
                self.partner["partner_id"],
                Environment.PRODUCTION,
            )
        return found

    async def transaction(self) -> Any:
        return await make_transaction(self.database, self.vault, await self.owner())

    async def hear(self, transaction: Any, verdict: ProviderStatus) -> None:
        await hear(self.database, self.vault, said(transaction, verdict))


@asynccontextmanager
async def backstage(server: Server) -> Any:
    settings = load_settings({}, data_dir=server.data_dir)
    database = await Database.open(arguments(settings, "app"))
    try:
        yield Backstage(server, database)
    finally:
        await database.close()


def test_every_process_tells_its_clients(run: Run, server: Server) -> None:
    """The kernel spreads sixteen connections over both processes."""

    async def scene() -> None:
        async with backstage(server) as behind, AsyncExitStack() as stack:
            transaction = await behind.transaction()
            watchers = [
                await stack.enter_async_context(watching(behind.port, transaction, behind.token))
                for _ in range(16)
            ]
            for watcher in watchers:
                assert (await watcher.next())["status"] == "pending"
            await behind.hear(transaction, ProviderStatus.COMPLETED)
            for watcher in watchers:
                assert await watcher.statuses() == ["processing", "completed"]
                assert watcher.connection.close_code == 1000

    run(scene())


def test_a_revoked_token_closes_its_connections(run: Run, server: Server) -> None:
    async def scene() -> None:
        async with backstage(server) as behind:
            transaction = await behind.transaction()
            async with watching(behind.port, transaction, behind.token) as watcher:
                await watcher.next()
                key_id = behind.token.split("_")[2]
                done = await asyncio.to_thread(server.run, "token", "revoke", key_id)
                assert done.returncode == 0, done.stderr
                assert await watcher.closed() == 1008

    run(scene())


def test_the_example_of_the_page_and_the_command_see_the_same(
    run: Run, server: Server, tmp_path: Path
) -> None:
    example = re.search(r"```python\n(.*?)```", source("watching"), re.S)
    assert example
    script = tmp_path / "watch.py"
    script.write_text(example[1])

    async def scene() -> None:
        async with backstage(server) as behind:
            transaction = await behind.transaction()
            commands = [
                [sys.executable, str(script), server.url, str(transaction)],
                [sys.executable, "-m", "proof", "tx", "watch", str(transaction), "--json"],
            ]
            environment = server.environment | {"PROOF_CLIENT_TOKEN": behind.token, "no_proxy": "*"}
            watchers = [_started(command, environment) for command in commands]
            first = [await asyncio.to_thread(_line, watcher) for watcher in watchers]
            assert ["pending" in line for line in first] == [True, True]
            await behind.hear(transaction, ProviderStatus.PROCESSING)
            await behind.hear(transaction, ProviderStatus.FAILED)
            rest = [
                await asyncio.to_thread(watcher.communicate, timeout=120) for watcher in watchers
            ]
            assert [watcher.returncode for watcher in watchers] == [0, 0]
            assert rest[0][0].split() == ["processing", "failed"]
            assert re.findall(r'"status":"(\w+)"', rest[1][0]) == ["processing", "failed"]

    run(scene())


def test_a_stopping_server_says_so(run: Run, server: Server) -> None:
    """The last of these tests: the server is gone afterwards."""

    async def scene() -> None:
        async with backstage(server) as behind:
            transaction = await behind.transaction()
            async with watching(behind.port, transaction, behind.token) as watcher:
                await watcher.next()
                server.process.terminate()
                assert await watcher.closed() == 1012

    run(scene())
    assert server.stop() == 0
    assert "Traceback" not in server.log()


def _started(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()
