"""The `proof` command, put together."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from proof import __version__

if TYPE_CHECKING:
    # Only for type checkers: it brings the database, which commands of callers and of a witness do without.
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
    "witness": "witness.commands",
    "headers": "proofs.headers",
    "ots": "proofs.ots",
    "fsck": "server.fsck",
    "health": "server.health",
    "chains": "server.chains",
    "audit": "server.audit",
    "keys": "server.keys",
    "secrets": "server.secrets",
    "tx": "ramp.tx",
    "statement": "ramp.statement",
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


_OF_WITNESSES = "witness.commands"


def needs_installation(first_word: str) -> bool:
    """Whether the commands that `first_word` begins may open an installation."""
    module = MODULES.get(first_word)
    return module not in _OF_CALLERS and module != _OF_WITNESSES


def application(open_installation: "Opener", first_word: str = "") -> typer.Typer:
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
        module.register(app, *_provided(name, open_installation))
    return app


def _provided(name: str, open_installation: "Opener") -> Sequence[Any]:
    """What the commands of a module are given of what lies above them."""
    if name == _OF_WITNESSES:
        return [_serve_witness]
    return [] if name in _OF_CALLERS else [open_installation]


def _serve_witness(folder: Path, host: str, port: int, state: Path | None) -> NoReturn:
    """Become the witness's process."""
    arguments = [str(folder), host, str(port), str(state or "")]
    program = [sys.executable, "-m", "proof.main.witness.process", *arguments]
    os.execv(sys.executable, program)  # noqa: S606 - our own program, without a shell


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proof {__version__}")
        raise typer.Exit
