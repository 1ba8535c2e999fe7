"""proof statement: the daily statements of partners, as they get them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proof.cli.arguments import Data, Env, Partner
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import FAILED, Json, err, out, print_json, stated_errors
from proof.core.clock import SystemClock
from proof.core.errors import InvalidInputError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.environments import environment_id

if TYPE_CHECKING:
    # Only for type checkers: it brings the timestamps, which other commands do without.
    from proof.receipts.statements import Statements

_ONE_DAY = timedelta(days=1)


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    statement = typer.Typer(
        no_args_is_help=True, help="Daily statements: what each partner's transactions came to."
    )
    app.add_typer(statement, name="statement")
    _register_list(statement, open_installation)
    _register_export(statement, open_installation)


def _register_list(statement: typer.Typer, open_installation: Opener) -> None:
    @statement.command("list")
    def list_days(
        partner: Partner,
        env: Env,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """The days of which a partner has a statement: every one from the first transaction on.

        Example: proof statement list ptr_4T9wQ2 --env production
        """

        async def read(database: Database) -> tuple[date, date] | None:
            async with database.connection() as connection:
                owner = await environment_id(connection, partner, env)
            return await _statements(database, vault).span(owner)

        with stated_errors(FAILED):
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            span = installation.with_database(read)
        days = [] if span is None else _days(*span)
        if as_json:
            print_json({"statements": days})
        elif not days:
            out.print("none yet: the first is made once the day of the first transaction is over")
        else:
            out.print("\n".join(days), markup=False)


def _register_export(statement: typer.Typer, open_installation: Opener) -> None:
    @statement.command()
    def export(
        partner: Partner,
        day: Annotated[str, typer.Argument(metavar="DATE", help="A day in UTC, like 2026-11-21.")],
        env: Env,
        folder: Annotated[
            Path, typer.Option("--to", metavar="FOLDER", help="Where the two files go.")
        ] = Path(),
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Write a day's statement and the list of its transactions as two files, .json and .csv.

        `proof verify FILE.json FILE.csv` checks them, and with --against OWN.csv what differs from a list
        of one's own.

        Example: proof statement export ptr_4T9wQ2 2026-11-21 --env production --to november
        """

        async def write(database: Database) -> None:
            async with database.connection() as connection:
                owner = await environment_id(connection, partner, env)
            statements = _statements(database, vault)
            raw = await statements.file(owner, env, wanted)
            listing = await statements.listing(owner, wanted, ListForm.CSV)
            await _write(Path(f"{base}.csv"), listing.pieces)
            await _write(Path(f"{base}.json"), _once(raw + b"\n"))

        from proof.receipts.statements import ListForm

        with stated_errors(FAILED):
            wanted = _day(day)
            base = folder / f"{partner}-{env}-{wanted}"
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            installation.with_database(write)
        if as_json:
            print_json({"statement": f"{base}.json", "list": f"{base}.csv"})
        else:
            err.print(f"written: {base}.json, {base}.csv", markup=False)


def _statements(database: Database, vault: Vault) -> "Statements":
    from proof.receipts.statements import Statements
    from proof.timestamps.proofs.service import Proofs

    return Statements(database, vault, Proofs(database, SystemClock()))


def _days(first: date, last: date) -> list[str]:
    return [str(first + number * _ONE_DAY) for number in range((last - first).days + 1)]


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        raise InvalidInputError(f"{text!r} is no day; write one like 2026-11-21")
    return found


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


async def _write(place: Path, pieces: AsyncIterator[bytes]) -> None:
    """Whole or not at all. Raises InvalidInputError for a place that takes no file."""
    part = place.with_name(f".{place.name}.part")
    try:
        with part.open("wb") as file:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
        part.replace(place)
    except OSError as error:
        raise InvalidInputError(
            f"--to: {place}: {error.strerror}; name a folder that is there and can be written"
        ) from None
    finally:
        part.unlink(missing_ok=True)
