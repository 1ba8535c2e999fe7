"""The installation that the settings describe, for the commands."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from proof.cli.installation import Finding, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import err
from proof.config import SettingsError, load_settings
from proof.core.errors import ProofError
from proof.core.secrets import Vault
from proof.db import Database
from proof.db.migrate import newest_revision
from proof.db.sealed import SealedColumn
from proof.mail import Mailer
from proof.main.checks.report import settings_report, unknown_variables
from proof.main.parts import database as databases
from proof.main.parts.keys import forget_key_variable, key_variable, open_vault
from proof.main.parts.mail import open_mailer
from proof.main.server.running import another
from proof.outbound import OutboundPolicy
from proof.partners.types import Environment

if TYPE_CHECKING:
    # Only for type checkers: these bring the HTTP client, which most commands do without.
    from proof.timestamps.anchors.log.retirement import Retirement
    from proof.timestamps.anchors.overview import EnabledChain

T = TypeVar("T")


class LocalInstallation:
    """The installation that the settings describe."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._told = False
        self._settings = load_settings(
            os.environ,
            data_dir=options.data_dir,
            host=options.host,
            port=options.port,
            processes=options.processes,
        )
        forget_key_variable(os.environ)

    def serve(self) -> NoReturn:
        from proof.main.checks.preconditions import OF_SERVE, require
        from proof.main.server.process import become_supervisor

        require(self._settings, OF_SERVE)
        become_supervisor(self._options, {**os.environ, **key_variable(self._settings)})

    def api(self) -> None:
        from proof.main.checks.preconditions import OF_API, require
        from proof.main.server.processes import run_api

        require(self._settings, OF_API)
        self._tell_of_another()
        run_api(self._settings)

    def worker(self) -> None:
        from proof.main.checks.preconditions import OF_WORKER, require
        from proof.main.server.worker import run_worker_process

        require(self._settings, OF_WORKER)
        self._tell_of_another()
        run_worker_process(self._settings)

    def migrate(self) -> str:
        from proof.main.server.preparation import prepare

        self._tell_of_another()
        # The server may run with another address than this process's defaults.
        announce = bool(self._settings.public_url)
        with databases.available(self._settings, create=True):
            asyncio.run(prepare(self._settings, announce=announce, actor=invoker()))
        return newest_revision()

    def with_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            async with databases.opened(self._settings) as database:
                return await action(database)

        self._tell_of_another()
        # Outside any event loop: the embedded server is started from this thread and has its own.
        with databases.available(self._settings):
            return asyncio.run(run())

    def with_chains(
        self, action: "Callable[[Database, Sequence[EnabledChain]], Awaitable[T]]"
    ) -> T:
        from proof.main.parts.chains import opened_chains

        async def run(database: Database) -> T:
            async with opened_chains(self._settings) as chains:
                return await action(database, chains)

        return self.with_database(run)

    def vault(self) -> Vault:
        self._tell_of_another()
        # Opening the development key would create it in the folder.
        if not self._settings.key_sources():
            databases.require_cluster(self._settings)
        return open_vault(self._settings)

    def retirement(self, database: Database, environment: Environment) -> "Retirement":
        from proof.main.parts.retirement import retirement

        return retirement(self._settings, database, environment)

    def sealed_columns(self) -> Sequence[SealedColumn]:
        from proof.main.parts.sealed import SEALED

        return SEALED

    def mailer(self) -> Mailer | None:
        return open_mailer(self._settings)

    def policy(self) -> OutboundPolicy:
        return OutboundPolicy(self._settings.opened_networks())

    def base_urls(self, served: Mapping[Environment, str]) -> dict[Environment, str]:
        configured = {
            environment: self._settings.base_url(environment) for environment in Environment
        }
        return configured if self._settings.public_url else configured | dict(served)

    def report(self) -> list[dict[str, Any]]:
        return settings_report(self._settings, os.environ)

    def findings(self, *, production: bool) -> list[Finding]:
        from proof.main.checks.findings import findings, held_folder

        # Asked before this process takes the lock itself.
        held = held_folder(self._settings)
        with ExitStack() as running:
            broken = self._start_database(running)
            return [*held, *findings(self._settings, production=production), *broken]

    def warnings(self) -> list[str]:
        found = another(self._settings)
        return [*unknown_variables(os.environ), *([found] if found else [])]

    def _start_database(self, running: ExitStack) -> list[Finding]:
        try:
            if not self._settings.database_url:
                databases.require_cluster(self._settings)
            running.enter_context(databases.available(self._settings))
        except SettingsError:
            # A missing or unusable data folder is a finding of its own.
            return []
        except ProofError as error:
            return [Finding("database", "problem", error.message)]
        return []

    def _tell_of_another(self) -> None:
        if not self._told and (found := another(self._settings)):
            err.print(f"proof: {found}", markup=False, style="yellow")
        self._told = True
