"""The commands of `proof` over a database of the test's own, without processes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from tests.support.retiring import retirement
from typer.testing import CliRunner, Result

from proof.cli.installation import ServerOptions
from proof.cli.log import retirement as log_retirement
from proof.cli.partners import partner, refusals, token
from proof.cli.server import audit, keys, operator
from proof.cli.webhooks import webhook
from proof.core.secrets import Vault
from proof.db import Database
from proof.mail import Mailer
from proof.outbound import OutboundPolicy
from proof.partners.types import Environment
from proof.timestamps.anchors.log.retirement import Retirement

T = TypeVar("T")

BASE_URLS = {
    Environment.PRODUCTION: "https://proof.example",
    Environment.SANDBOX: "https://proof.example/sandbox",
}


@dataclass
class Local:
    """An installation as the commands see it; `relay` is its mail relay."""

    arguments: dict[str, Any]
    folder: Path
    relay: Mailer | None = None
    secrets: Vault = field(default_factory=lambda: Vault([bytes(range(32))]))

    def with_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            database = await Database.open(self.arguments)
            try:
                return await action(database)
            finally:
                await database.close()

        return asyncio.run(run())

    def vault(self) -> Vault:
        return self.secrets

    def retirement(self, database: Database, environment: Environment) -> Retirement:
        return retirement(database, self.secrets, self.folder, environment)

    def mailer(self) -> Mailer | None:
        return self.relay

    def policy(self) -> OutboundPolicy:
        return OutboundPolicy((ip_network("127.0.0.0/8"),))

    def base_urls(self, served: Mapping[Environment, str]) -> dict[Environment, str]:
        return BASE_URLS | dict(served)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What the database holds."""

        async def read(database: Database) -> list[Any]:
            async with database.connection() as connection:
                return await connection.fetch(query, *values)

        return self.with_database(read)


@pytest.fixture
def local(database_arguments: dict[str, Any], tmp_path: Path) -> Local:
    return Local(database_arguments, tmp_path)


@pytest.fixture
def proof(local: Local) -> Callable[..., Result]:
    """Runs `proof <arguments>`; `input` is what is typed."""

    def run(*arguments: str, **options: Any) -> Result:
        _opened[:] = [local]
        result = CliRunner().invoke(_commands(), arguments, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


_opened: list[Local] = []


@cache
def _commands() -> typer.Typer:
    """The commands over the last of `_opened`: making them takes longer than running one."""

    def opened(options: ServerOptions) -> Any:
        return _opened[-1]

    app, log = typer.Typer(), typer.Typer()
    for module in (partner, operator, webhook, audit, refusals, token, keys):
        module.register(app, opened)
    log_retirement.register(log, opened)
    app.add_typer(log, name="log")
    return app
