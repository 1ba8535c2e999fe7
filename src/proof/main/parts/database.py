"""Which PostgreSQL, and bringing it up."""

import asyncio
import errno
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import structlog

from proof.config import Settings, SettingsError
from proof.core.errors import DatabaseUnavailableError, UnavailableError
from proof.db import Database
from proof.db.embedded import EmbeddedCluster, KeysMissingError, RunningCluster
from proof.db.migrate import current_revision, limit_role, migrate, newest_revision
from proof.db.outages import CANNOT_CONNECT, stated_outages, unreached
from proof.db.session import OF_COMMANDS, Patience, connect_arguments
from proof.db.shares import Bounds
from proof.main.parts.keys import usable_folder

# How long a command waits for an embedded server that another process is just starting.
_STARTING_S = 10.0
_CONNECTIONS = 10
# A checkpoint's worth of the write-ahead log: with less PostgreSQL stops in the middle of a commit.
_DISK_BYTES = 256 << 20
# How often a process that waits for the database tries again, and how often it logs that it waits.
_ASK_AGAIN_S = 0.2
_TELL_AGAIN_S = 5.0

# Errors that waiting does not mend: the role, its password, the database, or a right.
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    ValueError,
)
UNREADABLE = "PROOF_DATABASE_URL's role may not read the tables; run `proof db migrate`"

_log = structlog.get_logger()


def arguments(settings: Settings, role: str) -> dict[str, Any]:
    """asyncpg's arguments to connect as `owner` or `app`. Raises SettingsError when there is none."""
    if settings.database_url:
        owner = role == "owner" and settings.database_owner_url
        return {"dsn": settings.database_owner_url if owner else settings.database_url}
    cluster = EmbeddedCluster(settings.data_dir)
    try:
        return asdict(cluster.connection("owner" if role == "owner" else "app"))
    except KeysMissingError:
        raise SettingsError(
            f"there is no database in {settings.data_dir} yet; run `proof serve` first,"
            " or set PROOF_DATABASE_URL"
        ) from None


@contextmanager
def started(settings: Settings) -> Iterator[RunningCluster | None]:
    """Run the embedded server for the duration; nothing to do when another is named.

    Raises SettingsError when the data folder cannot be made or written.
    """
    if settings.database_url:
        yield None
        return
    with usable_folder(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    require_writable(settings)
    with usable_folder(settings.data_dir):
        running = EmbeddedCluster(settings.data_dir).start()
    with running:
        yield running


@contextmanager
def available(settings: Settings, *, create: bool = False) -> Iterator[None]:
    """A database for one command: the running one, or the embedded one started for its duration.

    Raises SettingsError when there is none yet, unless it may `create` it.
    """
    if not create:
        require_cluster(settings)
    if settings.database_url or is_running(settings):
        yield
        return
    with started(settings):
        yield


def require_cluster(settings: Settings) -> None:
    """Raises SettingsError when the data folder should hold a Proof and does not. Creates nothing."""
    if settings.database_url or is_running(settings):
        return
    with usable_folder(settings.data_dir):
        made = EmbeddedCluster(settings.data_dir).exists()
    if not made:
        raise SettingsError(
            f"there is no Proof in {settings.data_dir} yet; start `proof serve`, or check --data"
            " and PROOF_DATA_DIR"
        )


def require_folder(settings: Settings) -> None:
    """Raises SettingsError when the data folder can be none: a file has its name, or lies above it.

    Whether anything is in it is not looked at: the server that makes it may just be starting.
    """
    with usable_folder(settings.data_dir), suppress(FileNotFoundError):
        if not stat.S_ISDIR(settings.data_dir.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def require_writable(settings: Settings) -> None:
    """Raises SettingsError unless files can be made in the data folder, or in what it would be made in."""
    place = settings.data_dir
    with usable_folder(settings.data_dir):
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@asynccontextmanager
async def opened(
    settings: Settings, patience: Patience = OF_COMMANDS, shares: Bounds | None = None
) -> AsyncIterator[Database]:
    """The database as the application role, at the revision this program expects."""
    database = await _connect(settings, patience, shares)
    try:
        await require_revision(database)
        yield database
    finally:
        await database.close()


async def upgrade(settings: Settings) -> None:
    """Migrate to the newest revision, give the application role its rights and both roles their limits.
    Raises SettingsError when a role may not, BusyError when a table stays locked."""
    await _require_no_newer(settings)
    try:
        await migrate(arguments(settings, "owner"), _user(arguments(settings, "app")))
    except asyncpg.InsufficientPrivilegeError:
        raise SettingsError(no_owner(_user(arguments(settings, "owner")))) from None
    except _REFUSED as error:
        raise _refused("owner", error) from None
    for role in ("owner", "app"):
        async with connected(settings, role) as connection:
            await limit_role(connection)


async def _require_no_newer(settings: Settings) -> None:
    async with connected(settings, "owner") as connection:
        try:
            found = await current_revision(connection)
        except asyncpg.InsufficientPrivilegeError:
            # Only changing the tables shows whether the role owns them.
            return
    if found is not None and found > newest_revision():
        raise SettingsError(wrong_revision(found))


def no_owner(role: str) -> str:
    """What is said of a role that should own the tables and does not."""
    return (
        f"{role} cannot bring the tables up to date; name their owner in PROOF_DATABASE_OWNER_URL"
    )


def wrong_revision(found: str | None) -> str:
    """What is said of a schema this program was not written for; empty when it was for this one."""
    newest = newest_revision()
    if found is None:
        return "there are no tables yet; `proof serve` or `proof db migrate` makes them"
    said = f"the schema is at revision {found}, this program needs {newest}"
    if found > newest:
        return f"{said}; install the newer version again, there is no way back"
    if found < newest:
        return f"{said}; `proof serve` or `proof db migrate` brings it up to date"
    return ""


@asynccontextmanager
async def connected(
    settings: Settings, role: str
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection outside any pool. Raises SettingsError when PostgreSQL does not let the role in,
    UnavailableError for what it does meanwhile."""
    try:
        found: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            **connect_arguments(arguments(settings, role), OF_COMMANDS)
        )
    except _REFUSED as error:
        raise _refused(role, error) from None
    except CANNOT_CONNECT as error:
        raise unreached(error) from None
    try:
        with stated_outages(found):
            yield found
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await found.close()


def _refused(role: str, error: BaseException) -> SettingsError:
    name = "PROOF_DATABASE_OWNER_URL" if role == "owner" else "PROOF_DATABASE_URL"
    return SettingsError(f"PostgreSQL does not accept the role of {name}: {error}")


async def require_revision(database: Database) -> None:
    """Raises SettingsError when the schema is not the one this program was written for."""
    async with database.connection() as connection:
        try:
            said = wrong_revision(await current_revision(connection))
        except asyncpg.InsufficientPrivilegeError:
            said = UNREADABLE
    if said:
        raise SettingsError(said)


async def await_database(settings: Settings, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Return once the server named in the settings takes connections, however long that takes; False
    when it was `stopped` before.

    It may be starting like us, or handing over to another; what is waited for stands in the log.
    """
    told_at = float("-inf")
    while settings.database_url and not stopped():
        try:
            await (await Database.open(arguments(settings, "app"), 1)).close()
        except _REFUSED as error:
            raise _refused("app", error) from None
        except DatabaseUnavailableError as error:
            if time.monotonic() - told_at >= _TELL_AGAIN_S:
                told_at = time.monotonic()
                _log.warning("database.waiting", error=error.message)
            await asyncio.sleep(_ASK_AGAIN_S)
        else:
            return True
    return not stopped()


async def readiness(database: Database, settings: Settings) -> list[str]:
    """What keeps this process from serving, in words; empty when nothing does."""
    try:
        async with database.connection() as connection:
            commit = await connection.fetchval("SHOW synchronous_commit")
    except UnavailableError as error:
        return [error.message]
    free = shutil.disk_usage(settings.data_dir).free
    if not settings.database_url and free < _DISK_BYTES:
        return [f"the disk of {settings.data_dir} has {free >> 20} MiB left"]
    wrong = undurable(commit)
    return [wrong] if wrong else []


def undurable(synchronous_commit: str) -> str:
    """Why a setting acknowledges what a crash can still lose; empty when it does not."""
    if synchronous_commit in {"on", "remote_apply"}:
        return ""
    return f"synchronous_commit is {synchronous_commit}; acknowledged hashes would not be durable"


async def _connect(settings: Settings, patience: Patience, shares: Bounds | None) -> Database:
    deadline = time.monotonic() + _STARTING_S
    while True:
        try:
            return await Database.open(arguments(settings, "app"), _CONNECTIONS, patience, shares)
        except _REFUSED as error:
            raise _refused("app", error) from None
        except (DatabaseUnavailableError, SettingsError):
            if settings.database_url or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def is_running(settings: Settings) -> bool:
    """Whether a Proof holds the data folder."""
    with usable_folder(settings.data_dir):
        return EmbeddedCluster(settings.data_dir).is_running()


def _user(connection: dict[str, Any]) -> str:
    if "user" in connection:
        return str(connection["user"])
    return unquote(urlsplit(connection["dsn"]).username or "")
