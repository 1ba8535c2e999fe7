"""What `proof config check` finds in PostgreSQL, as either role."""

from collections.abc import Iterator
from typing import Any, Literal

import asyncpg

from proof.config import Settings
from proof.core.clock import SystemClock
from proof.db.migrate import current_revision, newest_revision
from proof.main import database as databases
from proof.main.keys import open_vault
from proof.partners.signing import NoSigningKeyError, open_ring
from proof.partners.types import Environment

Level = Literal["ok", "warning", "problem"]
Said = tuple[Level, str]

_OLDEST = 150_000

_ROLE = """
SELECT current_user AS role, current_setting('server_version') AS version,
       current_setting('server_version_num')::integer AS number,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('idle_in_transaction_session_timeout') AS idle_timeout,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       to_regclass('audit_log') IS NOT NULL AS made,
       CASE WHEN to_regclass('audit_log') IS NOT NULL
            THEN has_table_privilege('audit_log', 'UPDATE, DELETE') END AS rewrites,
       has_database_privilege(current_database(), 'CREATE') AS creates,
       (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
        WHERE oid = to_regclass('audit_log')) AS owns
"""


async def database_findings(settings: Settings, *, production: bool) -> list[Said]:
    """Problems and warnings, or what is right.

    Raises SettingsError and DatabaseUnavailableError when a role cannot connect.
    """
    async with databases.connected(settings, "app") as app:
        row: Any = await app.fetchrow(_ROLE)
        found = [*_server(row), *_application(row, production=production)]
        found += await _schema(settings, app)
    async with databases.connected(settings, "owner") as owner:
        found += _owner(await owner.fetchrow(_ROLE))
    return found


def _server(row: Any) -> Iterator[Said]:
    if row["number"] < _OLDEST:
        yield "problem", f"PostgreSQL {row['version']} is too old; 15 or newer is needed"
    else:
        yield "ok", f"PostgreSQL {row['version']}, as {row['role']}"
    if wrong := databases.undurable(row["synchronous_commit"]):
        yield (
            "problem",
            f"{wrong}; ALTER ROLE {row['role']} SET synchronous_commit = 'on'",
        )


def _application(row: Any, *, production: bool) -> Iterator[Said]:
    weak: Level = "problem" if production else "warning"
    role = row["role"]
    if row["superuser"]:
        yield weak, f"{role} is a superuser; name a role without rights in PROOF_DATABASE_URL"
    elif row["owns"] or row["rewrites"]:
        said = f"{role} can change the audit log; name another role in PROOF_DATABASE_URL"
        yield weak, f"{said}, and this one in PROOF_DATABASE_OWNER_URL"
    if row["idle_timeout"] == "0":
        # Proof asks for it with every session; a pooler in between may not pass that on.
        said = "idle_in_transaction_session_timeout is off, so a frozen process keeps its locks"
        yield weak, f"{said}; ALTER ROLE {role} SET idle_in_transaction_session_timeout = '30s'"


async def _schema(settings: Settings, app: "asyncpg.Connection[asyncpg.Record]") -> list[Said]:
    newest = newest_revision()
    try:
        revision = await current_revision(app)
    except asyncpg.InsufficientPrivilegeError:
        said = "PROOF_DATABASE_URL's role may not read the tables; run `proof db migrate`"
        return [("problem", said)]
    if revision is None:
        return [
            ("warning", "there are no tables yet; `proof serve` or `proof db migrate` makes them")
        ]
    if revision != newest:
        said = f"the schema is at revision {revision}, this program needs {newest}"
        if revision > newest:
            return [("problem", f"{said}; install the newer version again, there is no way back")]
        return [("problem", f"{said}; `proof serve` or `proof db migrate` brings it up to date")]
    return [("ok", f"the schema is at revision {revision}"), *await _opens(settings, app)]


async def _opens(settings: Settings, app: "asyncpg.Connection[asyncpg.Record]") -> list[Said]:
    """Whether the key-encryption key is that of the database."""
    vault, now = open_vault(settings), SystemClock().now()
    try:
        for environment in Environment:
            await open_ring(app, vault, environment, now)
    except NoSigningKeyError:
        return [
            ("warning", "there are no keys yet; `proof serve` or `proof db migrate` makes them")
        ]
    return [("ok", "the key-encryption key opens its secrets")]


def _owner(row: Any) -> Iterator[Said]:
    if row["owns"] or (not row["made"] and row["creates"]):
        yield "ok", f"{row['role']} owns the tables"
    else:
        said = f"{row['role']} cannot bring the tables up to date"
        yield "problem", f"{said}; name their owner in PROOF_DATABASE_OWNER_URL"
