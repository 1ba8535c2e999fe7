"""proof secrets: which key-encryption key the sealed records are under, and moving them to the newest."""

from dataclasses import asdict

import typer
from rich.table import Table

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import FAILED, Json, err, out, print_json, progress, stated_errors
from proof.core.secrets import Vault
from proof.db import Database
from proof.db import sealed as records
from proof.db.sealed import Census, RewrapResult
from proof.partners.audit import record


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    secrets = typer.Typer(no_args_is_help=True, help="Secrets at rest and the key that seals them.")
    app.add_typer(secrets, name="secrets")

    @secrets.command()
    def check(data: Data = None, as_json: Json = False) -> None:
        """Open every sealed record, and count them by key. Changes nothing.

        Exits 1 when one does not open, naming it.
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            found = installation.with_database(
                lambda database: _check(installation, database, vault)
            )
        newest = vault.newest_id.hex()
        if as_json:
            print_json({"newest_key_id": newest} | asdict(found))
        else:
            _print_census(found, newest)
        _print_problems(found.unopened, found.problems)

    @secrets.command()
    def rewrap(data: Data = None, as_json: Json = False) -> None:
        """Seal every record anew that is under an earlier key-encryption key.

        Needs the earlier keys in PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES. May run beside the server once
        all its processes have both keys; stopped anywhere, run it again.
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            done = installation.with_database(
                lambda database: _rewrap(installation, database, vault)
            )
        if as_json:
            print_json(asdict(done))
        else:
            for table, count in done.records.items():
                out.print(f"{table:20}{count} moved", markup=False)
        _print_problems(done.unopened, done.problems)


async def _check(installation: Installation, database: Database, vault: Vault) -> Census:
    columns = installation.sealed_columns()
    total = await records.count_sealed(database, columns)
    with progress("opening", total) as advance:
        return await records.census(database, vault, columns, advance)


async def _rewrap(installation: Installation, database: Database, vault: Vault) -> RewrapResult:
    columns = installation.sealed_columns()
    total = await records.count_older(database, vault, columns)
    with progress("sealing anew", total) as advance:
        done = await records.rewrap(database, vault, columns, advance)
    moved = {table: count for table, count in done.records.items() if count}
    if moved:
        async with database.transaction() as tx:
            after = {"key_id": vault.newest_id.hex(), "records": moved}
            await record(tx, invoker(), "secrets.rewrap", after=after)
    return done


def _print_census(found: Census, newest: str) -> None:
    table = Table("table", "key", "records")
    for use in found.uses:
        name = f"{use.key_id} (newest)" if use.key_id == newest else use.key_id
        table.add_row(use.table, name, str(use.records))
    out.print(table)
    if not found.unopened:
        out.print("every record opens")


def _print_problems(unopened: int, problems: tuple[str, ...]) -> None:
    if not unopened:
        return
    for problem in problems:
        err.print(problem, style="red", markup=False)
    err.print(f"{unopened} records do not open", style="red")
    raise typer.Exit(FAILED)
