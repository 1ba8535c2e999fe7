"""One worker process, put together, until it is told to stop."""

import asyncio
import gc
import os
import signal
from datetime import timedelta

import uvloop

from proof.config import Settings
from proof.config.log_policy import load_log_policy
from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.db.session import OF_THE_WORKER
from proof.main.events import configure_logging
from proof.main.parts import database as databases
from proof.main.parts.chains import enabled_chains, opened_chains
from proof.main.parts.database import await_database
from proof.main.parts.keys import open_vault, require_ring, secret_ring
from proof.main.parts.mail import open_mailer
from proof.main.parts.marks import marks
from proof.main.server.supervise import allow_files, end_with_supervisor
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.registry import Premises, Providers, backgrounds
from proof.ramp.transactions.mailing import AlertMail
from proof.timestamps.anchors.log.service import LogWriter
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
    maturing_loop,
    provider_loops,
    ramp_loops,
    ramp_pruning_loop,
    refusals_loop,
    signing_loop,
    stamping_loop,
    statements_loop,
)
from proof.worker.run import Worker

_GC_THRESHOLD = 50_000
# Every attempt of a transaction with all its legs.
_PROVIDER_ANSWER_BYTES = 256 * 1024


def run_worker_process(settings: Settings) -> None:
    """Work; on SIGTERM, finish what was started."""
    end_with_supervisor()
    configure_logging()
    allow_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if await await_database(settings, stop.is_set):
        await _run(settings, stop)


async def _run(settings: Settings, stop: asyncio.Event) -> None:
    """The worker, until `stop`."""
    clock, policy = SystemClock(), OutboundPolicy(settings.opened_networks())
    client = OutboundClient(policy)
    asking = OutboundClient(policy, max_response_bytes=_PROVIDER_ANSWER_BYTES)
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
                    marks(settings, os.environ),
                    load_log_policy(settings, environment),
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
                stamping_loop(database, clock, enabled_chains(settings)),
                statements_loop(database, clock, enabled_chains(settings)),
                ramp_pruning_loop(
                    database,
                    clock,
                    timedelta(days=settings.client_ip_days),
                    timedelta(days=settings.callback_days),
                ),
            ]
            base_urls = {each: settings.base_url(each) for each in Environment}
            others.append(maturing_loop(database, base_urls))
            premises = Premises(database, vault, clock, base_urls)
            async with opened_chains(settings) as chains, backgrounds(premises) as steps:
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
        secret_ring(vault),
        clock,
        Schedule(settings.webhook_schedule_s),
        keys=lambda connection, owner: signing_keys(connection, vault, owner),
        breaker=BreakerPolicy(disable_after=timedelta(days=settings.webhook_disable_after_days)),
    )
