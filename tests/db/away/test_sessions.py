"""What every session of ours asks of the server, whatever its own settings; what a frozen process costs."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proof.db import Database
from proof.db import session as sessions
from proof.db.session import OF_COMMANDS, OF_REQUESTS, OF_THE_WORKER, Patience, kept_open

PROGRAM = Path(__file__).with_name("hold_a_lock.py")
ROOT = Path(__file__).parents[3]
SETTINGS = {
    "application_name": "proof",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "4s",
    "client_connection_check_interval": "2s",
}


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (OF_REQUESTS, {"statement_timeout": "15s", "transaction_timeout": "30s"}),
        (OF_THE_WORKER, {"statement_timeout": "1min", "transaction_timeout": "10min"}),
        (OF_COMMANDS, {"statement_timeout": "1min", "transaction_timeout": "0"}),
    ],
)
async def test_every_session_has_our_limits(
    database_arguments: dict[str, Any], patience: Patience, expected: dict[str, str]
) -> None:
    database = await Database.open(database_arguments, patience=patience)
    alone = await database.dedicated()
    async with database.connection() as pooled:
        for connection in (pooled, alone):
            for name, value in (SETTINGS | expected).items():
                assert await connection.fetchval(f"SHOW {name}") == value, name
    await alone.close()
    await database.close()


async def test_a_connection_between_machines_notices_a_silent_peer(
    database_arguments: dict[str, Any],
) -> None:
    async with over_tcp(database_arguments) as arguments:
        database = await Database.open(arguments)
        connection = await database.dedicated()
        bare = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        wanted = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 8_000),
        ]
        assert [bare.getsockopt(level, name) for level, name, _ in wanted] == [
            value for *_, value in wanted
        ]
        await connection.close()
        await database.close()


@asynccontextmanager
async def over_tcp(arguments: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The same server on a port of loopback, for as long as the block lasts."""
    path = f"{arguments['host']}/.s.PGSQL.{arguments['port']}"

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(path)
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield arguments | {"host": host, "port": port, "ssl": False}


@pytest.mark.timeout(300)
def test_a_frozen_worker_gives_its_locks_back(
    run: Any, database: Database, database_arguments: dict[str, Any]
) -> None:
    """Whoever waits for a lock gives up after 5 s and would be BusyError: here it gets the lock."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(database_arguments)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}/src", "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)

        async def scene() -> None:
            async with database.transaction() as tx:
                await tx.execute("SELECT FROM partners FOR UPDATE")

        run(scene())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_work_in_a_transaction_keeps_it_open(
    run: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_SAY_S", 0.05)

    def work() -> str:
        time.sleep(1)
        return "done"

    async def scene() -> str:
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL idle_in_transaction_session_timeout = '500ms'")
            return await kept_open(tx, asyncio.to_thread(work))

    assert run(scene()) == "done"
