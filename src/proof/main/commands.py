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
    health,
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
from proof.cli.installation import Opener


def application(open_installation: Opener) -> typer.Typer:
    """All commands; those of an operator open the installation when they are run."""
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

    server.register(app, open_installation)
    partner.register(app, open_installation)
    operator.register(app, open_installation)
    webhook.register(app, open_installation)
    provider.register(app, open_installation)
    sandbox.register(app)
    for gate in (token, allowlist, rate, refusals):
        gate.register(app, open_installation)
    for calling in (stamping, fetching, verifying, headers, ots):
        calling.register(app)
    fsck.register(app, open_installation)
    health.register(app, open_installation)
    chains.register(app, open_installation)
    for keeping in (audit, keys, secrets):
        keeping.register(app, open_installation)
    for ramp in (tx, user):
        ramp.register(app, open_installation)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proof {__version__}")
        raise typer.Exit
