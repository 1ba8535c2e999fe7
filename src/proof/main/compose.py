"""The parts of each process, put together."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from proof.api.app import Application
from proof.api.edge import BaseUrls
from proof.api.ramp.watches import Watches
from proof.api.services import Services
from proof.config import Settings
from proof.core.clock import SystemClock
from proof.core.errors import UnavailableError
from proof.core.loop import Loop
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.db.session import OF_REQUESTS, OF_THE_WORKER
from proof.db.shares import Bounds, Work
from proof.main import database as databases
from proof.main.chains import enabled_chains, opened_chains, paces, require_calendar_chain
from proof.main.keys import keys_folder, open_vault, require_ring
from proof.main.mail import open_mailer
from proof.main.pages import handover_page, pages, widget_pages
from proof.main.tsa import prepare_tsa, time_stamping_authority
from proof.main.websocket import places as websocket_places
from proof.outbound import OutboundClient, OutboundPolicy, Places
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operators
from proof.partners.audit import Actor
from proof.partners.keys.session_signing import ensure_key, unusable_rings
from proof.partners.keys.webhook_secrets import webhook_secrets
from proof.partners.service import announce_base_urls, base_urls
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.receiving import CallbackReceiver
from proof.ramp.providers.registry import Premises, Providers, background_steps
from proof.ramp.sessions.service import Sessions
from proof.ramp.sessions.widget import Widgets
from proof.ramp.transactions.mailing import AlertMail
from proof.ramp.transactions.updates import Updates
from proof.timestamps.anchors.health import Part, parts
from proof.timestamps.anchors.log.service import LogWriter, ensure_log
from proof.timestamps.anchors.log.witness import HighWaterMark
from proof.timestamps.calendar import Calendar
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter
from proof.webhooks.breaker import BreakerPolicy
from proof.webhooks.delivery import Deliverer
from proof.webhooks.mail import NoticeMail
from proof.webhooks.pruning import pruning_loop
from proof.webhooks.schedule import Schedule
from proof.webhooks.signing import signing_keys
from proof.worker.loops import (
    anchoring_loops,
    audit_loops,
    handover_loop,
    provider_loops,
    ramp_loops,
    ramp_pruning_loop,
    refusals_loop,
    signing_loop,
)
from proof.worker.run import Worker

_FLUSH_USAGE_S = 1.0
# Of one partner environment in one process. An example call is tried out by hand; a provider is asked when
# somebody opens a widget, and answers within a second.
_EXAMPLES_EACH = 2
_PROVIDER_CALLS_EACH = 8
_GC_THRESHOLD = 50_000
_AT_START = Actor("start")
# Two of the pool's ten connections are always left for the gate and the process itself.
SHARES = Bounds(
    places=8,
    each=3,
    kinds={Work.OPERATOR: 3, Work.WIDGET: 4, Work.CALLBACK: 3, Work.ANONYMOUS: 3},
)
# Every attempt of a transaction with all its legs.
_PROVIDER_ANSWER_BYTES = 256 * 1024


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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def asgi(settings: Settings) -> Application:
    """The HTTP application of one process."""

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        async with (
            databases.opened(settings, patience=OF_REQUESTS, shares=SHARES) as database,
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
        widget_pages,
    )


async def prepare(settings: Settings, *, announce: bool = True, actor: Actor = _AT_START) -> None:
    """What must be there before any process serves: schema, keys, logs.

    Base URLs are recorded as the settings give them; without `announce`, only where none are yet.
    """
    prepare_tsa(settings)
    require_calendar_chain(settings)
    await databases.upgrade(settings)
    vault = open_vault(settings)
    async with databases.opened(settings) as database:
        async with database.transaction() as tx:
            if announce or not await base_urls(tx):
                urls = {environment: settings.base_url(environment) for environment in Environment}
                await announce_base_urls(tx, urls)
        for environment in Environment:
            origin = settings.origin_of_log(environment)
            await ensure_log(database, vault, environment, origin)
            async with database.transaction() as tx:
                await ensure_key(tx, vault, environment, actor, SystemClock().now())
        async with database.connection() as connection:
            await require_ring(connection, vault)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """The worker of one process, until `stop`."""
    clock, client = SystemClock(), OutboundClient(_policy(settings))
    asking = OutboundClient(_policy(settings), max_response_bytes=_PROVIDER_ANSWER_BYTES)
    try:
        async with databases.opened(settings, patience=OF_THE_WORKER) as database:
            # After the database: a mistyped folder has none, and must not get keys.
            vault = open_vault(settings)
            async with database.connection() as connection:
                await require_ring(connection, vault)
            mailer = open_mailer(settings)
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
                *NoticeMail(database, clock, mailer, settings.operator_email).loops(),
                *AlertMail(database, clock, mailer, settings.operator_email).loops(),
            ]
            providers = Providers(Reach(asking, database, clock))
            others += [
                *ramp_loops(database, vault, providers, clock),
                ramp_pruning_loop(
                    database,
                    clock,
                    timedelta(days=settings.client_ip_days),
                    timedelta(days=settings.callback_days),
                ),
            ]
            base_urls = {each: settings.base_url(each) for each in Environment}
            premises = Premises(database, vault, clock, base_urls)
            async with opened_chains(settings) as chains, background_steps(premises) as steps:
                others += provider_loops(steps)
                others += anchoring_loops(database, clock, chains)
                # Collections walk every long-lived object, which takes as long as a hundred deliveries;
                # what is there after the start stays for good.
                gc.collect()
                gc.freeze()
                gc.set_threshold(_GC_THRESHOLD)
                await Worker(database, writers, deliverer, others).run(stop)
    finally:
        for outbound in (client, asking):
            await outbound.aclose()


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
    chains = enabled_chains(settings)
    committer, directory = Committer(database, chains), Directory(database)
    meter, trying = (
        Meter(database, clock),
        OutboundClient(policy, places=Places(most=32, each=_EXAMPLES_EACH)),
    )
    asking = OutboundClient(policy, places=Places(most=64, each=_PROVIDER_CALLS_EACH))
    providers = Providers(Reach(asking, database, clock))
    callbacks = CallbackReceiver(database, vault, providers, clock)
    sessions = Sessions(database, vault, clock)
    gate, operators = Gate(database, directory, clock), Operators(database, clock)
    watches = Watches(gate, Updates(database), websocket_places())

    submissions, proofs = (
        Submissions(database, committer),
        Proofs(database, clock, chains, paces(settings)),
    )

    async def readiness() -> Sequence[str]:
        problems = await databases.readiness(database, settings)
        if problems:
            return problems
        async with database.connection() as connection:
            unusable = await unusable_rings(connection, vault, clock.now())
        return [*await directory.problems(), *unusable]

    async def stopped_parts() -> Sequence[Part]:
        return await parts(database)

    committer.start()
    callbacks.start()
    sessions.start()
    background = [
        asyncio.create_task(directory.run()),
        asyncio.create_task(gate.run()),
        asyncio.create_task(watches.run()),
        asyncio.create_task(Loop("usage", _flushing(meter), _FLUSH_USAGE_S).run()),
    ]
    try:
        yield Services(
            database=database,
            clock=clock,
            gate=gate,
            operators=operators,
            directory=directory,
            submissions=submissions,
            sessions=sessions,
            providers=providers,
            callbacks=callbacks,
            widgets=Widgets(database, vault, clock, providers),
            proofs=proofs,
            meter=meter,
            outbound=trying,
            policy=policy,
            vault=vault,
            base_urls={environment: settings.base_url(environment) for environment in Environment},
            webhook_secrets=_secret_ring(vault),
            readiness=readiness,
            parts=stopped_parts,
            anonymous=AnonymousRates(
                settings.anonymous_calls_per_minute, settings.anonymous_calls_per_second
            ),
            tsa=time_stamping_authority(settings),
            calendar=Calendar(settings.calendar_url, submissions, proofs)
            if settings.calendar_url
            else None,
            watches=watches,
            mailer=open_mailer(settings),
        )
    finally:
        await committer.close()
        await callbacks.close()
        await sessions.close()
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await gate.close()
        operators.close()
        with suppress(UnavailableError):
            await meter.flush()
        for client in (trying, asking):
            await client.aclose()


def _flushing(meter: Meter) -> Callable[[], Awaitable[bool]]:
    async def step() -> bool:
        await meter.flush()
        return False

    return step


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
