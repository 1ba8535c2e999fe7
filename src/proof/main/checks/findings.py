"""`proof config check`: everything that the settings name, opened.

Nothing is made or changed. What would stop `proof serve`, `proof api` or `proof worker` is a problem, in
the words they would say it with; what only looks like a mistake is a warning.
"""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError

import asyncpg

from proof.cli.installation import Finding
from proof.config import Settings, SettingsError
from proof.config.settings import absolute
from proof.core.errors import ProofError
from proof.db.embedded import ClusterBusyError, EmbeddedCluster
from proof.db.migrate import current_revision
from proof.mail import MailError
from proof.main.checks.preconditions import OF_SERVE, Precondition
from proof.main.checks.witnesses import shared_hosts, witness_findings
from proof.main.parts import database as databases
from proof.main.parts.keys import open_vault, require_ring, usable_folder
from proof.main.parts.mail import open_mailer
from proof.main.server.supervise import reserved_port
from proof.partners.types import Environment

_ANSWER_S = 5.0
_NO_PROXIES = (
    "trusted_proxies is empty, so every partner seems to come from the proxy in front;"
    " name its address in PROOF_TRUSTED_PROXIES"
)
_ONE_ROLE = (
    "database_owner_url is not set, so Proof works as the owner of its tables; give it a role of its own in"
    " PROOF_DATABASE_URL, and the owner's in PROOF_DATABASE_OWNER_URL"
)
_KEY_INSIDE = (
    "the key-encryption key lies in the data folder, where every copy of the database takes it along;"
    " keep it elsewhere and name it in PROOF_KEY_ENCRYPTION_KEY_FILE"
)
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


def findings(settings: Settings, *, production: bool) -> list[Finding]:
    """All there is to say, in the order a start meets it. `production` demands what real partners need."""
    return [*_local(settings), *asyncio.run(_others(settings, production=production))]


async def _others(settings: Settings, *, production: bool) -> list[Finding]:
    found = [finding async for finding in _reached(settings)]
    if production:
        found += _demands(settings)
        found += await asyncio.to_thread(lambda: list(shared_hosts(settings)))
    found += [finding async for finding in witness_findings(settings)]
    return found + await _database(settings, production=production)


def held_folder(settings: Settings) -> list[Finding]:
    """That another Proof than the one at our address holds the data folder, which stops `proof serve`."""
    try:
        if not settings.database_url and not _is_proof(_address(settings)):
            EmbeddedCluster(settings.data_dir).require_free()
    except ClusterBusyError as error:
        return [Finding("data folder", "warning", error.message)]
    except OSError:
        # An unreadable folder is a finding of its own.
        return []
    return []


def _local(settings: Settings) -> Iterator[Finding]:
    for precondition in (*OF_SERVE, Precondition("listening", _port)):
        try:
            yield Finding(precondition.subject, "ok", precondition.met(settings))
        except ProofError as error:
            yield Finding(precondition.subject, "problem", error.message)


async def _reached(settings: Settings) -> AsyncIterator[Finding]:
    async for found in _greeted(settings):
        yield found
    for environment in Environment:
        yield await asyncio.to_thread(_url, settings, environment)


def _port(settings: Settings) -> str:
    place = f"{settings.host} port {settings.port}"
    if settings.port and _is_proof(_address(settings)):
        return f"a Proof answers on {place}"
    with reserved_port(settings):
        return f"{place} is free"


def _address(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


async def _greeted(settings: Settings) -> AsyncIterator[Finding]:
    """What the relay says; it may be away for a while, so that is no problem yet."""
    with suppress(ProofError):
        mailer = open_mailer(settings)
        if mailer is None:
            return
        try:
            await mailer.greet()
        except MailError as error:
            yield Finding("mail relay", "warning", error.message)
        else:
            said = f"{settings.smtp_host}:{settings.smtp_port} lets us in"
            yield Finding("mail relay", "ok", said)


def _url(settings: Settings, environment: Environment) -> Finding:
    """A proxy may be started after Proof, so what does not answer is no problem yet."""
    subject, url = f"{environment} URL", settings.base_url(environment)
    # Health is told without a prefix only; whoever asks without a token is refused in both.
    path, expected = (
        ("/healthz", 200) if environment is Environment.PRODUCTION else ("/whoami", 401)
    )
    try:
        status = _get(url + path)[0]
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if not settings.public_url:
            return Finding(subject, "ok", f"{url}, once Proof runs")
        return Finding(subject, "warning", f"{url} does not answer: {reason}")
    if status == expected:
        return Finding(subject, "ok", f"{url} leads to a Proof")
    said = f"{url}{path} answers {status}: it does not lead to Proof; is the proxy's target right?"
    return Finding(subject, "warning", said)


def _get(url: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_S) as answer:
            return answer.status, answer.read(1024)
    except HTTPError as error:
        with error:
            return error.code, b""


def _is_proof(url: str) -> bool:
    with suppress(OSError, ValueError):
        return _get(f"{url}/healthz") == (200, b'{"status":"ok"}')
    return False


def _demands(settings: Settings) -> Iterator[Finding]:
    """What development may do without."""
    key_file = absolute("key_encryption_key_file", Path(settings.key_encryption_key_file))
    inside = bool(settings.key_encryption_key_file) and key_file.is_relative_to(settings.data_dir)
    demands = {
        "mode is development; set PROOF_MODE=live": settings.mode == "live",
        "public_url is not set; name it in PROOF_PUBLIC_URL": bool(settings.public_url),
        _NO_PROXIES: bool(settings.trusted_proxies),
        _ONE_ROLE: bool(settings.database_owner_url) or not settings.database_url,
        _KEY_INSIDE: bool(settings.key_sources()) and not inside,
    }
    for said, met in demands.items():
        if not met:
            yield Finding("production", "problem", said)


async def _database(settings: Settings, *, production: bool) -> list[Finding]:
    subject = "database"
    try:
        with usable_folder(settings.data_dir):
            made = bool(settings.database_url) or EmbeddedCluster(settings.data_dir).exists()
        if not made:
            return [Finding(subject, "ok", "the embedded one is made at the first start")]
        if not settings.database_url and not databases.is_running(settings):
            said = (
                "the embedded one does not run now; start Proof and check again for what is in it"
            )
            return [Finding(subject, "warning", said)]
        found = await database_findings(settings, production=production)
    except ProofError as error:
        return [Finding(subject, "problem", error.message)]
    return [Finding(subject, level, text) for level, text in found]


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
