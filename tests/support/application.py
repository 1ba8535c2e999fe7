"""The HTTP application in this process: a client that speaks ASGI, and the worker's steps by hand."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
from tests.support.copying import copied
from tests.support.garbage import garbage_as_before
from tests.support.partners import onboard
from tests.support.tsa import development_authority

from proof.api.app import Application
from proof.api.edge import BaseUrls
from proof.api.ramp.watches import Watches
from proof.api.services import Services
from proof.core.clock import Clock, SystemClock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.db.embedded import EmbeddedCluster
from proof.db.shares import Bounds
from proof.mail import Sender
from proof.main.server.pages import handover_page, widget_pages
from proof.outbound import OutboundClient, OutboundPolicy, Places
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operators
from proof.partners.audit import Actor
from proof.partners.keys.session_signing import ensure_key
from proof.partners.keys.webhook_secrets import webhook_secrets
from proof.partners.types import Environment, OnboardedPartner
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.receiving import CallbackReceiver
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions.service import Sessions
from proof.ramp.sessions.widget import Widgets
from proof.ramp.transactions.updates import Updates
from proof.receipts import keys as receipt_keys
from proof.receipts.health import parts
from proof.receipts.service import Receipts
from proof.receipts.statements import Statements
from proof.timestamps.anchors.health import Part
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.service import LogWriter, ensure_log
from proof.timestamps.calendar import Calendar
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter
from proof.timestamps.trees.sealing import close_due, seal_next

CALENDAR_URL = "https://calendar.proof.example"
CALLER = "203.0.113.9"
POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
BASE_URLS = {
    Environment.PRODUCTION: "https://proof.example",
    Environment.SANDBOX: "https://proof.example/sandbox",
}
_GIVE_UP_S = 120.0
_COUNTED = (
    "submissions",
    "rounds",
    "trees",
    "outbox",
    "webhook_endpoints",
    "webhook_deliveries",
    "timestamp_settings",
)

Altered = Callable[[Services], Services]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as sent. `read` counts the request messages the application asked for."""

    status: int
    headers: dict[str, str]
    body: bytes
    read: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of an error in the timestamp API's form; that form is all the body holds."""
        parsed = self.json
        assert list(parsed) == ["message"], parsed
        assert isinstance(parsed["message"], str)
        return parsed["message"]


class _Exchange:
    """One request's two callables."""

    def __init__(self, method: str, chunks: Sequence[bytes]) -> None:
        self._is_head = method == "HEAD"
        self._chunks = list(chunks)
        self.read = 0
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        if not self._chunks:
            return {"type": "http.disconnect"}
        body = self._chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._chunks)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def answer(self) -> Answer:
        start, *parts = self.sent
        assert start["type"] == "http.response.start"
        assert {part["type"] for part in parts} == {"http.response.body"}
        assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [
            False
        ]
        body = b"".join(part["body"] for part in parts)
        names = [name.decode() for name, _ in start["headers"]]
        assert len(names) == len(set(names)), f"repeated headers: {names}"
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert headers["content-length"] == str(len(body)) or (self._is_head and not body)
        return Answer(start["status"], headers, body, self.read)


@dataclass(frozen=True, slots=True)
class Client:
    """Calls an ASGI application as uvicorn would, from an address of the test's choosing."""

    app: Any

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        token: str | None = None,
        address: str = CALLER,
        headers: Iterable[tuple[str, str]] = (),
        chunks: Sequence[bytes] | None = None,
        announced: int | None = None,
    ) -> Answer:
        """One request. A `body` that is not bytes is sent as JSON with its length; `chunks` are sent
        without one; `announced` replaces the length."""
        raw = (
            b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        )
        exchange = _Exchange(method, [raw] if chunks is None else chunks)
        sent = [("host", "proof.example"), *headers]
        if chunks is None:
            sent.append(("content-length", str(len(raw) if announced is None else announced)))
        if token is not None:
            sent.append(("x-api-key", token))
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent],
            "client": (address, 50_000),
            "server": ("proof.example", 443),
        }
        async with asyncio.timeout(_GIVE_UP_S):
            await self.app(scope, exchange.receive, exchange.send)
        return exchange.answer()


@dataclass
class Platform:
    """A whole Proof without its processes. `start` before use, `stop` after; on one event loop."""

    database: Database
    vault: Vault
    folder: Path
    clock: Clock = field(default_factory=SystemClock)
    altered: Altered = lambda services: services
    proxies: tuple[Any, ...] = ()
    mailer: Sender | None = None
    base_urls: Mapping[Environment, str] = field(default_factory=lambda: BASE_URLS)

    async def start(self) -> None:
        for environment in Environment:
            origin = f"proof.example/{environment}"
            await ensure_log(self.database, self.vault, environment, origin)
            async with self.database.transaction() as tx:
                made = (tx, self.vault, environment, Actor("start"), self.clock.now())
                await ensure_key(*made)
                await receipt_keys.ensure_key(*made)
        self.writers = {environment: self.writer(environment) for environment in Environment}
        self.app = app = Application(
            self._opened,
            BaseUrls(*self.base_urls.values()),
            self.proxies,
            lambda services: [handover_page(services)],
            widget_pages,
        )
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._life = asyncio.create_task(
            app({"type": "lifespan"}, self._events.get, self._said.put)  # type: ignore[arg-type]
        )
        with garbage_as_before():
            await self._events.put({"type": "lifespan.startup"})
            await self._hear("lifespan.startup.complete")
        self.client = Client(app)
        self.call = self.client.call

    async def stop(self) -> None:
        await self._events.put({"type": "lifespan.shutdown"})
        await self._hear("lifespan.shutdown.complete")
        await self._life

    def writer(self, environment: Environment, clock: Clock | None = None) -> LogWriter:
        """A writer of one environment's log, over the same high-water mark as every other."""
        marks = Marks(self.folder)
        return LogWriter(self.database, self.vault, clock or self.clock, environment, marks)

    async def seal(self) -> None:
        """Everything the worker does with what was submitted so far: close, seal, append, publish."""
        await close_due(self.database, 0)
        while await seal_next(self.database):
            pass
        for writer in self.writers.values():
            await writer.append()
            await writer.publish()

    async def onboard(self, name: str = "Acme", **changes: Any) -> OnboardedPartner:
        """A new partner that this process knows already."""
        partner = await onboard(self.database, self.vault, name, **changes)
        await self.poll()
        return partner

    async def poll(self) -> None:
        """Have the directory look now for what an operator changed, rather than within its second."""
        await self._directory.poll_after_miss()

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return await connection.fetch(query, *values)

    async def counts(self) -> dict[str, int]:
        """How many rows each table holds that a call of a partner's could add to, except the usage of
        calls that only read."""
        return {
            table: (await self.fetch(f"SELECT count(*) FROM {table}"))[0][0] for table in _COUNTED
        }

    async def _hear(self, expected: str) -> None:
        heard = asyncio.create_task(self._said.get())
        await asyncio.wait({heard, self._life}, return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            heard.cancel()
            await self._life
        assert (await heard)["type"] == expected

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Services]:
        committer, directory = Committer(self.database), Directory(self.database)
        self._directory = directory
        meter = Meter(self.database, self.clock)
        outbound = OutboundClient(POLICY, places=Places(most=32, each=2))
        providers = Providers(Reach(outbound, self.database, self.clock))
        callbacks = CallbackReceiver(self.database, self.vault, providers, self.clock)
        sessions = Sessions(self.database, self.vault, self.clock)
        committer.start()
        callbacks.start()
        sessions.start()
        gate = Gate(self.database, directory, self.clock)
        self.watches = watches = Watches(gate, Updates(self.database))
        background = [asyncio.create_task(item.run()) for item in (directory, gate, watches)]
        submissions = Submissions(self.database, committer)
        proofs = Proofs(self.database, self.clock)
        services = Services(
            database=self.database,
            clock=self.clock,
            gate=gate,
            operators=Operators(self.database, self.clock),
            directory=directory,
            submissions=submissions,
            sessions=sessions,
            providers=providers,
            callbacks=callbacks,
            widgets=Widgets(self.database, self.vault, self.clock, providers),
            proofs=proofs,
            receipts=Receipts(self.database, self.vault, self.clock, proofs),
            statements=Statements(self.database, self.vault, proofs),
            meter=meter,
            outbound=outbound,
            policy=POLICY,
            vault=self.vault,
            base_urls=self.base_urls,
            webhook_secrets=self._webhook_secrets,
            readiness=_ready,
            parts=self._parts,
            anonymous=AnonymousRates(6_000_000, 1_000_000),
            tsa=development_authority(self.clock),
            calendar=Calendar(CALENDAR_URL, submissions, proofs),
            watches=watches,
            mailer=self.mailer,
        )
        try:
            yield self.altered(services)
        finally:
            await committer.close()
            await callbacks.close()
            await sessions.close()
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await gate.close()
            await outbound.aclose()

    async def _parts(self) -> Sequence[Part]:
        return await parts(self.database)

    async def _webhook_secrets(
        self, connection: Connection, partner_environment_id: int
    ) -> Sequence[bytes]:
        return await webhook_secrets(connection, self.vault, partner_environment_id)


async def _ready() -> Sequence[str]:
    return []


@dataclass(frozen=True, slots=True)
class Stage:
    """A serving platform, the loop it lives on, and asyncpg's arguments of its database."""

    run: Callable[[Any], Any]
    platform: Platform
    arguments: dict[str, Any]


@contextmanager
def staged(
    cluster: EmbeddedCluster, folder: Path, *, shares: Bounds | None = None, **options: Any
) -> Iterator[Stage]:
    """A platform on a database of its own: creating one costs more than most tests, so tests that
    bring their own partners share it. `shares` bound its pool, `options` are fields of Platform."""
    with (
        copied(cluster, f"stage_{secrets.token_hex(6)}") as arguments,
        asyncio.Runner() as runner,
    ):
        database = runner.run(Database.open(arguments, shares=shares))
        platform = Platform(database, Vault([bytes(range(32))]), folder, **options)
        runner.run(platform.start())
        try:
            yield Stage(runner.run, platform, arguments)
        finally:
            runner.run(platform.stop())
            runner.run(database.close())
