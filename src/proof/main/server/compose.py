"""The parts of an HTTP process, put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from proof.api.app import Application
from proof.api.edge import BaseUrls
from proof.api.ramp.watches import Watches
from proof.api.services import Services
from proof.config import Settings
from proof.core.clock import SystemClock
from proof.core.errors import UnavailableError
from proof.db import Database
from proof.db.session import OF_REQUESTS
from proof.db.shares import Bounds, Work
from proof.main.parts import database as databases
from proof.main.parts.chains import enabled_chains, paces
from proof.main.parts.keys import open_vault, secret_ring
from proof.main.parts.mail import open_mailer
from proof.main.parts.tsa import time_stamping_authority
from proof.main.server.pages import handover_page, pages, widget_pages
from proof.main.server.websocket import places as websocket_places
from proof.outbound import OutboundClient, OutboundPolicy, Places
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operators
from proof.partners.keys.session_signing import unusable_rings
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.receiving import CallbackReceiver
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions.service import Sessions
from proof.ramp.sessions.widget import Widgets
from proof.ramp.transactions.updates import Updates
from proof.receipts.health import parts
from proof.receipts.service import Receipts
from proof.receipts.statements import Statements
from proof.timestamps.anchors.health import Part
from proof.timestamps.calendar import Calendar
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter

# Of one partner environment in one process. An example call is tried out by hand; a provider is asked when
# somebody opens a widget, and answers within a second.
_EXAMPLES_EACH = 2
_PROVIDER_CALLS_EACH = 8
# Two of the pool's ten connections are always left for the gate and the process itself.
SHARES = Bounds(
    places=8,
    each=3,
    kinds={Work.OPERATOR: 3, Work.WIDGET: 4, Work.CALLBACK: 3, Work.ANONYMOUS: 3},
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


@asynccontextmanager
async def _services(settings: Settings, database: Database) -> AsyncIterator[Services]:
    clock, policy, vault = (
        SystemClock(),
        OutboundPolicy(settings.opened_networks()),
        open_vault(settings),
    )
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
        asyncio.create_task(meter.run()),
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
            receipts=Receipts(database, vault, clock, proofs),
            statements=Statements(database, vault, proofs),
            meter=meter,
            outbound=trying,
            policy=policy,
            vault=vault,
            base_urls={environment: settings.base_url(environment) for environment in Environment},
            webhook_secrets=secret_ring(vault),
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
