"""Roles and database: made once, checked at every start, over the server's own socket."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from proof.db.embedded.passwords import Passwords, scram_verifier

SUPERUSER = "proof_superuser"
OWNER = "proof_owner"
APP = "proof_app"
DATABASE = "proof"

_FIRST_POLL_S = 0.005
_LAST_POLL_S = 0.25  # each refused attempt during recovery costs a line of the server's log
_CONNECT_TIMEOUT_S = 60.0

# The provisioning session keeps its statements, verifiers included, out of the log even on errors.
_SILENT = {
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
}
_NOT_YET = (
    OSError,  # no socket yet, or nobody listening behind it
    TimeoutError,
    asyncpg.CannotConnectNowError,  # crash recovery is under way
    asyncpg.ConnectionDoesNotExistError,
)


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """How to reach the server: keyword arguments for asyncpg.connect and create_pool.

    ``host`` is the folder of the Unix socket. Pass the fields one by one: a folder's name may hold
    characters that a URL or a host list would give a meaning.
    """

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)


async def await_and_provision(
    superuser: ConnectionInfo, passwords: Passwords, is_alive: Callable[[], bool]
) -> bool:
    """Wait until the server accepts connections, however long recovery takes, then provision it.

    Returns False once ``is_alive`` says that the server has ended. Raises asyncpg.PostgresError
    when it refuses the superuser or a statement.
    """
    pause_s = _FIRST_POLL_S
    while is_alive():
        try:
            connection = await asyncpg.connect(
                host=superuser.host,
                port=superuser.port,
                user=superuser.user,
                password=superuser.password,
                database=superuser.database,
                ssl=False,
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=_SILENT,
            )
        except _NOT_YET:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _LAST_POLL_S)
            continue
        try:
            await _provision(connection, passwords)
        finally:
            await connection.close()
        return True
    return False


async def _provision(
    connection: "asyncpg.Connection[asyncpg.Record]", passwords: Passwords
) -> None:
    """Stopping after any step is harmless: the next start finds what is missing."""
    for role, password in ((OWNER, passwords.owner), (APP, passwords.app)):
        await _create_role(connection, role, password)
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    if await connection.fetchval("SELECT has_database_privilege($1, $2, 'TEMP')", APP, DATABASE):
        await connection.execute(
            f"""
            BEGIN;
            REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC;
            GRANT CONNECT ON DATABASE {DATABASE} TO {APP};
            COMMIT
            """
        )


async def _create_role(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str
) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        return
    statement = await connection.fetchval(
        "SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
        " NOBYPASSRLS PASSWORD %L', $1::text, $2::text)",
        role,
        scram_verifier(password),
    )
    await connection.execute(statement)
