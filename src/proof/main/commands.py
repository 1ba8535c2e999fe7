"""The `proof` command, put together."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
import uvicorn

from proof import __version__
from proof.cli import fetching, fsck, partner, server, stamping, verifying
from proof.cli.installation import ServerOptions
from proof.cli.output import err
from proof.config import Settings, load_settings
from proof.core.secrets import Vault
from proof.db import Database
from proof.db.migrate import newest_revision
from proof.main import compose
from proof.main import database as databases
from proof.main.keys import open_vault
from proof.main.report import settings_report
from proof.main.supervise import Supervisor, end_with_supervisor, listening_socket
from proof.outbound import OutboundPolicy
from proof.partners.types import Environment

T = TypeVar("T")

_GRACEFUL_S = 30
_KEEP_ALIVE_S = 75


class LocalInstallation:
    """The installation that the settings describe."""

    def __init__(self, options: ServerOptions) -> None:
        self._settings = load_settings(
            os.environ,
            data_dir=options.data_dir,
            host=options.host,
            port=options.port,
            processes=options.processes,
        )

    def serve(self) -> int:
        compose.configure_logging()
        return Supervisor(self._settings, _announce).run()

    def api(self) -> None:
        end_with_supervisor()
        compose.configure_logging()
        config = uvicorn.Config(
            compose.asgi(self._settings),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            # The client address is decided once, by the edge.
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_level="warning",
            backlog=4096,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACEFUL_S,
        )
        listening = listening_socket(self._settings.host, self._settings.port)
        uvicorn.Server(config).run(sockets=[listening])

    def worker(self) -> None:
        end_with_supervisor()
        compose.configure_logging()
        asyncio.run(_work(self._settings))

    def migrate(self) -> str:
        with databases.available(self._settings):
            asyncio.run(databases.upgrade(self._settings))
        return newest_revision()

    def with_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            async with databases.opened(self._settings) as database:
                return await action(database)

        # Outside any event loop: the embedded server is started from this thread and has its own.
        with databases.available(self._settings):
            return asyncio.run(run())

    def vault(self) -> Vault:
        return open_vault(self._settings)

    def policy(self) -> OutboundPolicy:
        return OutboundPolicy(self._settings.opened_networks())

    def base_url(self, environment: Environment) -> str | None:
        return self._settings.base_url(environment) if self._settings.public_url else None

    def report(self) -> list[dict[str, Any]]:
        return settings_report(self._settings, os.environ)


def application() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="proof",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="A partner platform whose every statement can be proved.\n\n"
        "Start with `proof serve`, then `proof partner add`. Exit codes: 0 done, 1 refused or failed,"
        " 2 wrong usage or settings, 3 consistent but not tied to anything trusted or not available"
        " yet, 4 the server cannot be reached.",
    )

    @app.callback()
    def root(
        version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
        ] = False,
    ) -> None:
        pass

    server.register(app, LocalInstallation)
    partner.register(app, LocalInstallation)
    for calling in (stamping, fetching, verifying):
        calling.register(app)
    fsck.register(app, LocalInstallation)
    return app


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await compose.run_worker(settings, stop)


def _announce(settings: Settings) -> None:
    if settings.mode == "development":
        err.print(
            "Proof runs in development mode, with keys of its own making: not for real partners."
        )
    err.print(f"production  {settings.base_url(Environment.PRODUCTION)}", markup=False)
    err.print(f"sandbox     {settings.base_url(Environment.SANDBOX)}", markup=False)
    err.print(f"data        {settings.data_dir}", markup=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proof {__version__}")
        raise typer.Exit
