"""What every session of ours asks of PostgreSQL and of the network, whichever server it is.

A process that is frozen holds its transaction's locks: the server ends that transaction before anybody has
waited 5 s. Whoever waits for a lock gives up then, in case the holder is at work. Between machines, a peer
that is gone without a word is noticed within some 10 s, on both sides.
"""

import asyncio
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from proof.db.types import Connection

T = TypeVar("T")

IDLE_IN_TRANSACTION_S = 4
LOCK_WAIT_S = 5
CONNECT_S = 5.0
_SAY_S = IDLE_IN_TRANSACTION_S / 4

_KEEPALIVE = {"idle": 5, "interval": 2, "count": 3}
_UNACKNOWLEDGED_MS = 8_000
# How much longer than the server's own limit the client waits, in case the server is frozen.
_GRACE_S = 5
# The first version with `transaction_timeout`.
_TRANSACTION_TIMEOUT_SINCE = 17


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one statement may take, and one transaction (None: as long as it likes)."""

    statement_s: int
    transaction_s: int | None


# Requests wait for it; the worker seals rounds of millions; a command may read everything in one snapshot.
OF_REQUESTS = Patience(15, 30)
OF_THE_WORKER = Patience(60, 600)
OF_COMMANDS = Patience(60, None)


# What the roles have for whoever connects with them and asks for nothing: a terminal, a script. It is the
# most that any session of ours asks for. Tools that dump and restore ask for their own.
ROLE_LIMITS = {
    "statement_timeout": f"{OF_THE_WORKER.statement_s}s",
    "lock_timeout": f"{LOCK_WAIT_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
}
# Behind a migration that waits for a table wait all who come after it, so it soon gives up and comes again.
MIGRATION_LOCK_WAIT_S = 2
_MIGRATION_IDLE_S = 60


def migration_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """asyncpg's arguments to connect with for a migration: a statement may rewrite a table, but none waits
    long for one."""
    return {
        **arguments,
        "timeout": CONNECT_S,
        "server_settings": {
            "application_name": "proof migration",
            "statement_timeout": "0",
            "lock_timeout": f"{MIGRATION_LOCK_WAIT_S}s",
            "idle_in_transaction_session_timeout": f"{_MIGRATION_IDLE_S}s",
        },
    }


def connect_arguments(arguments: dict[str, Any], patience: Patience) -> dict[str, Any]:
    """asyncpg's arguments to connect with, with ours beside them.

    They travel with the connection's first message, so no session is ever without. Of several hosts, the
    one that takes writes is chosen.
    """
    chosen = {"target_session_attrs": "read-write"}
    if "target_session_attrs" in arguments.get("dsn", ""):
        chosen = {}
    return {
        **chosen,
        **arguments,
        "timeout": CONNECT_S,
        "command_timeout": patience.statement_s + _GRACE_S,
        "server_settings": {
            "application_name": "proof",
            "statement_timeout": f"{patience.statement_s}s",
            "lock_timeout": f"{LOCK_WAIT_S}s",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
            "client_connection_check_interval": "2s",
            "tcp_user_timeout": str(_UNACKNOWLEDGED_MS),
            **{f"tcp_keepalives_{name}": str(value) for name, value in _KEEPALIVE.items()},
        },
    }


async def prepare(
    connection: "asyncpg.Connection[asyncpg.Record]", patience: Patience
) -> "asyncpg.Connection[asyncpg.Record]":
    """What can only be said once it is there: an older server refuses what it does not know."""
    _notice_silence(connection)
    major = connection.get_server_version().major
    if patience.transaction_s is not None and major >= _TRANSACTION_TIMEOUT_SINCE:
        await connection.execute(f"SET transaction_timeout = '{patience.transaction_s}s'")
    return connection


async def kept_open(connection: Connection, work: Awaitable[T]) -> T:
    """The result of work of ours in the middle of a transaction that may take longer than one may be
    idle. A frozen process says nothing, and its transaction ends."""
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait({task}, timeout=_SAY_S))[0]:
        await connection.execute("SELECT")
    return task.result()


def _notice_silence(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    transport = connection._transport  # type: ignore[attr-defined] # noqa: SLF001 - there is no other way
    bare = transport.get_extra_info("socket")
    if bare is None or bare.family == socket.AF_UNIX:
        return
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE["idle"])
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE["interval"])
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE["count"])
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
