"""The `proof` command, put together."""

from importlib import import_module
from typing import Annotated

import typer

from proof import __version__
from proof.cli.installation import Opener

# The module of each first word. What is not asked for is not imported: all of it takes longer than most
# commands run.
MODULES = {
    "serve": "server.serve",
    "api": "server.serve",
    "worker": "server.serve",
    "db": "server.serve",
    "config": "server.serve",
    "partner": "partners.partner",
    "operator": "server.operator",
    "webhook": "webhooks.webhook",
    "provider": "ramp.provider",
    "sandbox": "ramp.sandbox",
    "token": "partners.token",
    "allowlist": "partners.allowlist",
    "rate": "partners.rate",
    "refusals": "partners.refusals",
    "stamp": "proofs.stamping",
    "status": "proofs.fetching",
    "fetch": "proofs.fetching",
    "verify": "proofs.verifying",
    "log": "log.commands",
    "headers": "proofs.headers",
    "ots": "proofs.ots",
    "fsck": "server.fsck",
    "health": "server.health",
    "chains": "server.chains",
    "audit": "server.audit",
    "keys": "server.keys",
    "secrets": "server.secrets",
    "tx": "ramp.tx",
    "user": "ramp.user",
}
# Their commands need no installation of one's own.
_OF_CALLERS = {
    "ramp.sandbox",
    "proofs.stamping",
    "proofs.fetching",
    "proofs.verifying",
    "proofs.headers",
    "proofs.ots",
}


def application(open_installation: Opener, first_word: str = "") -> typer.Typer:
    """The commands, or only those of the module that `first_word` is in; those of an operator open the
    installation when they are run."""
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

    wanted = [MODULES[first_word]] if first_word in MODULES else dict.fromkeys(MODULES.values())
    for name in wanted:
        module = import_module(f"proof.cli.{name}")
        module.register(app, *([] if name in _OF_CALLERS else [open_installation]))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proof {__version__}")
        raise typer.Exit
