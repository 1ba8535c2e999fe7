"""The parts of each process, put together."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from starlette.types import ASGIApp
from structlog.tracebacks import ExceptionDictTransformer

from proof.api.app import Application
from proof.api.edge import BaseUrls
from proof.api.services import Services
from proof.config import Settings
from proof.core.clock import SystemClock
from proof.core.errors import DatabaseUnavailableError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.main import database as databases
from proof.main.documentation import pages
from proof.main.handover import handover_page
from proof.main.keys import keys_folder, open_vault
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.audit import Actor
from proof.partners.directory import Directory
from proof.partners.gate import Gate
from proof.partners.operators import Operators
from proof.partners.secret_ring import webhook_secrets
from proof.partners.service import announce_base_urls, base_urls
from proof.partners.signing import ensure_key
from proof.partners.types import Environment
from proof.timestamps.anchors.log.service import LogWriter, ensure_log
from proof.timestamps.anchors.log.witness import HighWaterMark
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter
from proof.webhooks.breaker import BreakerPolicy
from proof.webhooks.delivery import Deliverer
from proof.webhooks.keys import signing_keys
from proof.webhooks.pruning import pruning_loop
from proof.webhooks.schedule import Schedule
from proof.worker.handovers import handover_loop
from proof.worker.keeping import audit_loops, signing_loop
from proof.worker.pruning import refusals_loop
from proof.worker.run import Worker

_FLUSH_USAGE_S = 1.0
_AT_START = Actor("start")


def configure_logging() -> None:
    """JSON lines on standard error, one an event."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Local variables hold tokens and secrets; a traceback names files and lines only.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def asgi(settings: Settings) -> ASGIApp:
    """The HTTP application of one process."""

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        async with (
            databases.opened(settings) as database,
            _services(settings, database) as services,
        ):
            yield services

    urls = BaseUrls(
        settings.base_url(Environment.PRODUCTION), settings.base_url(Environment.SANDBOX)
    )
    return Application(
        open_services,
        urls,
        settings.proxies(),
        lambda services: [*pages(settings), handover_page(services)],
    )


async def prepare(settings: Settings, *, announce: bool = True) -> None:
    """What must be there before any process serves: schema, keys, logs.

    Base URLs are recorded as the settings give them; without `announce`, only where none are yet.
    """
    await databases.upgrade(settings)
    vault = open_vault(settings)
    async with databases.opened(settings) as database:
        async with database.transaction() as tx:
            if announce or not await base_urls(tx):
                urls = {each: settings.base_url(each) for each in Environment}
                await announce_base_urls(tx, urls)
        for environment in Environment:
            origin = settings.origin_of_log(environment)
            await ensure_log(database, vault, environment, origin)
            async with database.transaction() as tx:
                await ensure_key(tx, vault, environment, _AT_START, SystemClock().now())


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """The worker of one process, until `stop`."""
    clock, client = SystemClock(), OutboundClient(_policy(settings))
    try:
        async with databases.opened(settings) as database:
            # After the database: a mistyped folder has none, and must not get keys.
            vault = open_vault(settings)
            deliverer = _deliverer(settings, database, client, vault, clock)
            writers = [
                LogWriter(
                    database,
                    vault,
                    clock,
                    environment,
                    HighWaterMark(keys_folder(settings), environment),
                )
                for environment in Environment
            ]
            others = [
                handover_loop(database, clock),
                *audit_loops(database, clock),
                signing_loop(database, vault, clock, timedelta(days=settings.signing_key_days)),
                refusals_loop(database, clock, timedelta(days=settings.refusals_days)),
                pruning_loop(database, clock, timedelta(days=settings.payload_days)),
            ]
            await Worker(database, writers, deliverer, others).run(stop)
    finally:
        await client.aclose()


def _deliverer(
    settings: Settings, database: Database, client: OutboundClient, vault: Vault, clock: SystemClock
) -> Deliverer:
    return Deliverer(
        database,
        client,
        _secret_ring(vault),
        clock,
        Schedule(settings.webhook_schedule_s),
        keys=lambda connection, owner: signing_keys(connection, vault, owner),
        breaker=BreakerPolicy(disable_after=timedelta(days=settings.webhook_disable_after_days)),
    )


@asynccontextmanager
async def _services(settings: Settings, database: Database) -> AsyncIterator[Services]:
    clock, policy, vault = SystemClock(), _policy(settings), open_vault(settings)
    committer, directory = Committer(database), Directory(database)
    meter, client = Meter(database, clock), OutboundClient(policy)
    gate = Gate(database, directory, clock)

    async def readiness() -> Sequence[str]:
        return await databases.readiness(database)

    committer.start()
    background = [
        asyncio.create_task(directory.run()),
        asyncio.create_task(gate.run()),
        asyncio.create_task(_flush_usage(meter)),
    ]
    try:
        yield Services(
            database=database,
            clock=clock,
            gate=gate,
            operators=Operators(database),
            submissions=Submissions(database, committer),
            proofs=Proofs(database, clock),
            meter=meter,
            outbound=client,
            policy=policy,
            vault=vault,
            base_urls={each: settings.base_url(each) for each in Environment},
            webhook_secrets=_secret_ring(vault),
            readiness=readiness,
        )
    finally:
        await committer.close()
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await gate.close()
        with suppress(DatabaseUnavailableError):
            await meter.flush()
        await client.aclose()


async def _flush_usage(meter: Meter) -> None:
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(_FLUSH_USAGE_S)
        try:
            await meter.flush()
        except Exception as error:  # noqa: BLE001 - tried again in a second
            log.warning("usage.flush_failed", error=repr(error))


class _SecretRing:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def __call__(
        self, connection: Connection, partner_environment_id: int
    ) -> Sequence[bytes]:
        return await webhook_secrets(connection, self._vault, partner_environment_id)


def _secret_ring(vault: Vault) -> _SecretRing:
    return _SecretRing(vault)


def _policy(settings: Settings) -> OutboundPolicy:
    return OutboundPolicy(settings.opened_networks())
