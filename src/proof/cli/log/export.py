"""proof log export: our own log as files."""

from pathlib import Path
from typing import Annotated

import typer

from proof.cli.arguments import Data, Env
from proof.cli.installation import Opener, ServerOptions
from proof.cli.log.following import folder_errors, tell_fault, tell_update
from proof.cli.output import Json, progress, stated_errors
from proof.db import Database
from proof.follow.database import DatabaseLog
from proof.follow.faults import LogFaultError
from proof.follow.files import put
from proof.follow.mirror import Mirror, Update
from proof.partners.types import Environment


def register(log: typer.Typer, open_installation: Opener) -> None:
    """Add the command to those of the log."""

    @log.command(
        epilog="Exits 0 when the folder is the log, 1 when it cannot be written, 2 on wrong usage, 3 when"
        " nothing is signed yet, 4 without the database, 11, 15 or 16 when the database does not hold"
        " what the log signed."
    )
    def export(
        folder: Annotated[Path, typer.Argument(help="The folder that a web server serves.")],
        environment: Env = Environment.PRODUCTION,
        label: Annotated[
            str | None,
            typer.Option("--log", help="A retired log, by its label; else the current one."),
        ] = None,
        check: Annotated[
            bool, typer.Option("--check", help="Read the whole folder again, and mend it.")
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Write our own log into a folder that any web server can serve.

        As `proof log mirror` does, from the database: checked up to the signed checkpoint, which comes
        last. The files `key` and `policy` say what to verify by.

        Example: proof log export /srv/log --env production
        """

        async def run(database: Database) -> Update:
            source = await DatabaseLog.opened(database, environment, label)
            mirror = Mirror(source, await source.trust(), folder, progress)
            update = await mirror.update(check=check)
            put(folder / "key", await source.keys())
            put(folder / "policy", await source.policy())
            return update

        with stated_errors(), folder_errors(folder):
            try:
                update = open_installation(ServerOptions(data)).with_database(run)
            except LogFaultError as error:
                raise typer.Exit(tell_fault(folder, error, as_json=as_json)) from None
        tell_update(folder, update, as_json=as_json)
