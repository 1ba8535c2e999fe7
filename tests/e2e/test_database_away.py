"""A database that starts late, is restarted and is killed under load: 503 and `Retry-After`, and then
everything works again: calls, rounds, webhooks, and the WebSockets that were open all the time. What was
acknowledged is there."""

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.ramp import hear, make_transaction, said
from tests.support.receiver import Receiver
from tests.support.served import Server
from tests.support.standalone import Standalone
from tests.support.websockets import Watcher, watching

from proof.config import load_settings
from proof.core.secrets import Vault
from proof.db import Database
from proof.main.parts.keys import open_vault
from proof.ramp.providers.protocols import ProviderStatus

PATIENCE_S = 120.0
CALLERS = 20
LISTENERS = {"listening"}


@pytest.fixture
def scene() -> Iterator[tuple[Standalone, Server]]:
    folder = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))
    database = Standalone(folder / "pg")
    (folder / "pg").mkdir()
    database.start()
    urls = {
        "PROOF_DATABASE_URL": database.url("app"),
        "PROOF_DATABASE_OWNER_URL": database.url("owner"),
        "PROOF_PROCESSES": "1",
        "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
    }
    server = Server(folder, urls)
    (folder / "d").mkdir()
    try:
        yield database, server
    finally:
        if hasattr(server, "process"):
            server.stop()
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Load:
    """Answers by what they were, and the hashes that were acknowledged."""

    answers: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)

    async def press(self, session: aiohttp.ClientSession, url: str, over: asyncio.Event) -> None:
        while not over.is_set():
            digests = [secrets.token_hex(32)]
            async with session.post(f"{url}/v1/timestamp", json={"sha256": digests}) as reply:
                await reply.read()
                if reply.status == 200:
                    self.acknowledged.update(digests)
                    self.answers["taken"] += 1
                elif reply.status == 503 and reply.headers.get("retry-after") == "1":
                    self.answers["later"] += 1
                    await asyncio.sleep(0.01)
                else:
                    self.answers[f"{reply.status} {await reply.text()}"] += 1

    async def until_more(self, name: str) -> None:
        """Until there are more answers of that kind than now."""
        before, deadline = self.answers[name], time.monotonic() + PATIENCE_S
        while self.answers[name] < before + CALLERS:
            assert time.monotonic() < deadline, self.answers
            await asyncio.sleep(0.01)


@pytest.mark.timeout(600)
def test_the_database_is_away_and_comes_back(scene: tuple[Standalone, Server]) -> None:
    database, server = scene
    database.stop()
    waiting = subprocess.Popen(
        [sys.executable, "-m", "proof", "serve"],
        env=server.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert "database.waiting" in waiting.stderr.readline()
    waiting.terminate()
    assert waiting.wait(PATIENCE_S) == 0
    waiting.stderr.close()
    database.start()
    server.start()
    partner = server.add_partner()["production"]
    load = Load()

    async def pressed(receiver: Receiver) -> None:
        over = asyncio.Event()
        headers = {"x-api-key": partner["api_key"]}
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with (
            AsyncExitStack() as open_all_along,
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
        ):
            await aimed(session, partner["base_url"], receiver.url("/"))
            watched = await Watched.open(database, server, partner["client_token"], open_all_along)
            callers = [
                asyncio.create_task(load.press(session, partner["base_url"], over))
                for _ in range(CALLERS)
            ]
            for end in (database.stop, database.kill):
                await load.until_more("taken")
                await asyncio.to_thread(end)
                await load.until_more("later")
                await asyncio.to_thread(database.start)
                await load.until_more("taken")
                digest = secrets.token_hex(32)
                await submitted(session, partner["base_url"], digest)
                await proved(session, partner["base_url"], digest)
                await notified(session, partner["base_url"], digest, receiver)
                await watched.told(database)
            over.set()
            await asyncio.gather(*callers)
            await proved(session, partner["base_url"], min(load.acknowledged))
            # The server ends with the thread that started it, so these cannot wait for the loop's end.
            assert await stored(database) >= load.acknowledged
            deadline = time.monotonic() + PATIENCE_S
            while still := waiting_steps(server):
                assert time.monotonic() < deadline, still
                await asyncio.sleep(0.05)

    with Receiver() as receiver:
        asyncio.run(pressed(receiver))
    faults = [line for line in server.log().splitlines() if '"request.failed"' in line]
    assert (set(load.answers), faults) == ({"taken", "later"}, [])
    assert '"exception"' not in server.log()


def waiting_steps(server: Server) -> set[str]:
    """What said that it waits for the database and not yet that it works again; a listener works as long as
    its connection lasts, so it never says so."""
    still = set()
    for line in server.log().splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("event") == "loop.waiting":
            still.add(told["step"])
        elif told.get("event") == "loop.recovered":
            still.discard(told["step"])
    return still - LISTENERS


@dataclass
class Watched:
    """WebSockets that are open while the database is away, each with a transaction of its own."""

    vault: Vault
    waiting: list[tuple[Any, Watcher]]

    @classmethod
    async def open(
        cls, database: Standalone, server: Server, token: str, stack: AsyncExitStack
    ) -> "Watched":
        vault = open_vault(load_settings({}, data_dir=server.data_dir))
        port = int(server.url.rpartition(":")[2])
        opened = await Database.open(database.arguments())
        async with opened.connection() as connection:
            owner = await connection.fetchval(
                "SELECT id FROM partner_environments WHERE environment = 'production' AND id > 0"
            )
        waiting = []
        for _ in range(2):
            transaction = await make_transaction(opened, vault, owner)
            watcher = await stack.enter_async_context(watching(port, transaction, token))
            assert (await watcher.next())["status"] == "pending"
            waiting.append((transaction, watcher))
        await opened.close()
        return cls(vault, waiting)

    async def told(self, database: Standalone) -> None:
        """The next of them is told what becomes of its transaction."""
        transaction, watcher = self.waiting.pop()
        opened = await Database.open(database.arguments())
        await hear(opened, self.vault, said(transaction, ProviderStatus.COMPLETED))
        await opened.close()
        assert (await watcher.statuses())[-1] == "completed"


async def aimed(session: aiohttp.ClientSession, url: str, target: str) -> None:
    body = {"notification": {"proof": {"target": target}}}
    async with session.patch(f"{url}/v1/api-key/setting", json=body) as reply:
        assert reply.status == 200, await reply.text()


async def submitted(session: aiohttp.ClientSession, url: str, digest: str) -> None:
    async with session.post(f"{url}/v1/timestamp", json={"sha256": [digest]}) as reply:
        assert reply.status == 200, await reply.text()


async def notified(
    session: aiohttp.ClientSession, url: str, digest: str, receiver: Receiver
) -> None:
    """A webhook goes out that was asked for now."""
    async with session.post(f"{url}/v1/proof", json={"sha256": digest, "currencyId": 900}) as reply:
        assert reply.status == 202, await reply.text()
    deadline = time.monotonic() + PATIENCE_S
    while not any(digest.encode() in request.body for request in receiver.requests):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def proved(session: aiohttp.ClientSession, url: str, digest: str) -> None:
    """The worker works again: a hash from before has its proof."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        async with session.get(f"{url}/v1/proof/{digest}") as reply:
            if reply.status == 200:
                return
            assert reply.status in {425, 503}, await reply.text()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def stored(database: Standalone) -> set[str]:
    opened = await Database.open(database.arguments())
    async with opened.connection() as connection:
        rows = await connection.fetch("SELECT encode(digest, 'hex') AS digest FROM submissions")
    await opened.close()
    return {row["digest"] for row in rows}
