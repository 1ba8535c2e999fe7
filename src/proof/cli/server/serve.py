"""proof serve, api, worker, db, config: running an installation."""

from typing import Annotated

import msgspec
import typer

from proof.cli.arguments import Data, Host, Port
from proof.cli.installation import Finding, Opener, ServerOptions
from proof.cli.output import (
    USAGE,
    Json,
    err,
    out,
    print_columns,
    print_json,
    printable,
    stated_errors,
)


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""

    @app.command()
    def serve(
        host: Host = None,
        port: Port = None,
        data: Data = None,
        processes: Annotated[
            int | None,
            typer.Option(help="HTTP processes. [PROOF_PROCESSES, default: half the cores]"),
        ] = None,
    ) -> None:
        """Run everything: API, worker and, unless PROOF_DATABASE_URL is set, PostgreSQL.

        Stops in order on Ctrl-C or SIGTERM, finishing what was accepted.
        """
        with stated_errors():
            open_installation(ServerOptions(data, host, port, processes)).serve()

    @app.command()
    def api(host: Host = None, port: Port = None, data: Data = None) -> None:
        """Run one HTTP process. Many may share a port and a database."""
        with stated_errors():
            open_installation(ServerOptions(data, host, port)).api()

    @app.command()
    def worker(data: Data = None) -> None:
        """Run one worker: sealing, log, webhooks. Many may share a database."""
        with stated_errors():
            open_installation(ServerOptions(data)).worker()

    db = typer.Typer(no_args_is_help=True, help="The database.")
    app.add_typer(db, name="db")

    @db.command()
    def migrate(data: Data = None, as_json: Json = False) -> None:
        """Bring schema, keys and logs up to date. `proof serve` does so by itself."""
        with stated_errors():
            revision = open_installation(ServerOptions(data)).migrate()
        if as_json:
            print_json({"revision": revision})
        else:
            out.print(f"the database is at revision {revision}")

    config = typer.Typer(no_args_is_help=True, help="The settings.")
    app.add_typer(config, name="config")

    @config.command()
    def check(
        production: Annotated[
            bool, typer.Option("--production", help="Demand what real partners need.")
        ] = False,
        host: Host = None,
        port: Port = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Print the settings in force, secrets left out, and open all that they name.

        Folders and key files with their modes, the port, chains, mail relay, public URLs, the database as
        both roles and its schema: whatever would stop serve, api or worker. Exits 2 when one is wrong.

        Example: proof config check --production
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data, host, port))
            rows, found = installation.report(), installation.findings(production=production)
            warnings = installation.warnings()
        for warning in warnings:
            err.print(f"proof: {warning}", markup=False, style="yellow")
        if as_json:
            checks = [msgspec.to_builtins(finding) for finding in found]
            print_json({"settings": rows, "checks": checks, "warnings": warnings})
        else:
            cells = [(row["name"], printable(str(row["value"])), row["source"]) for row in rows]
            print_columns(("setting", "value", "from"), cells)
            out.print()
            _print_findings(found)
        if any(finding.level == "problem" for finding in found):
            raise typer.Exit(USAGE)


_STYLES = {"ok": None, "warning": "yellow", "problem": "red"}


def _print_findings(found: list[Finding]) -> None:
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        text = f"{finding.level:7}  {finding.subject:{width}}  {printable(finding.text)}"
        out.print(text, markup=False, style=_STYLES[finding.level])
