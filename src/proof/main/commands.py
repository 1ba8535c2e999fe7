"""The `proof` command, put together."""

from typing import Annotated

import typer

from proof import __version__
from proof.cli import (
    allowlist,
    audit,
    chains,
    fetching,
    fsck,
    headers,
    keys,
    operator,
    ots,
    partner,
    provider,
    rate,
    refusals,
    sandbox,
    secrets,
    server,
    stamping,
    token,
    tx,
    user,
    verifying,
    webhook,
)
from proof.main.installation import LocalInstallation


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
    operator.register(app, LocalInstallation)
    webhook.register(app, LocalInstallation)
    provider.register(app, LocalInstallation)
    sandbox.register(app)
    for gate in (token, allowlist, rate, refusals):
        gate.register(app, LocalInstallation)
    for calling in (stamping, fetching, verifying, headers, ots):
        calling.register(app)
    fsck.register(app, LocalInstallation)
    chains.register(app, LocalInstallation)
    for keeping in (audit, keys, secrets):
        keeping.register(app, LocalInstallation)
    for ramp in (tx, user):
        ramp.register(app, LocalInstallation)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proof {__version__}")
        raise typer.Exit
