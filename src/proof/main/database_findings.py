"""What `proof config check` finds in PostgreSQL, as either role."""

from collections.abc import Iterator
from typing import Any, Literal

import asyncpg

from proof.config import Settings, SettingsError
from proof.db.migrate import current_revision
from proof.main import database as databases
from proof.main.keys import open_vault, require_ring

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
    try:
        revision = await current_revision(app)
    except asyncpg.InsufficientPrivilegeError:
        return [("problem", databases.UNREADABLE)]
    if said := databases.wrong_revision(revision):
        return [("warning" if revision is None else "problem", said)]
    return [("ok", f"the schema is at revision {revision}"), *await _opens(settings, app)]


async def _opens(settings: Settings, app: "asyncpg.Connection[asyncpg.Record]") -> list[Said]:
    """Whether the key-encryption key is that of the database."""
    try:
        there = await require_ring(app, open_vault(settings))
    except SettingsError as error:
        return [("problem", error.message)]
    if there:
        return [("ok", "the key-encryption key opens its secrets")]
    return [("warning", "there are no keys yet; `proof serve` or `proof db migrate` makes them")]


def _owner(row: Any) -> Iterator[Said]:
    if row["owns"] or (not row["made"] and row["creates"]):
        yield "ok", f"{row['role']} owns the tables"
    else:
        yield "problem", databases.no_owner(row["role"])
