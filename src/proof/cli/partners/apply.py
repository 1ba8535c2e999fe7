"""proof partner apply: changing a record by a file, after showing what changes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import USAGE, Json, fail, is_interactive, stated_errors
from proof.cli.partners.edit import print_changes
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.records.changes import Difference
from proof.partners.records.file import PartnerFile, parse_partner_file
from proof.partners.records.service import edit_partner, plan_edit
from proof.partners.records.types import TRANSACTION_EVENT
from proof.webhooks.service import Target


def register(partner: typer.Typer, open_installation: Opener) -> None:
    """Add the command to `proof partner`."""

    @partner.command()
    def apply(
        file: Annotated[
            Path, typer.Argument(metavar="FILE", help="A partner file; - for standard input.")
        ],
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show what would change.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        force: Annotated[
            bool,
            typer.Option("--force", help="Accept networks wider than /8 (IPv4) or /32 (IPv6)."),
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Make a partner's record what a TOML file says, in one transaction, after showing the changes.

        What the file does not name stays. `proof partner show ID --toml` writes one to begin with.

        Example: proof partner apply acme.toml --dry-run
        """
        with stated_errors():
            wanted = _parsed(file)
            installation = open_installation(ServerOptions(data))
            asks = not (dry_run or yes)
            if asks and (as_json or not is_interactive()):
                raise fail("nobody is here to confirm; use --yes, or --dry-run to look only", USAGE)
            plan = _Plan(installation, wanted, force=force, writes=not dry_run, asks=asks)
            changes = installation.with_database(plan.run)
        if as_json or not asks:
            print_changes(wanted.partner_id, changes, as_json=as_json, planned=dry_run)


class _Plan:
    def __init__(
        self,
        installation: Installation,
        wanted: PartnerFile,
        *,
        force: bool,
        writes: bool,
        asks: bool,
    ) -> None:
        self._target = Target(installation.policy(), TRANSACTION_EVENT)
        self._wanted = wanted
        self._force = force
        self._writes = writes
        self._asks = asks

    async def run(self, database: Database) -> list[Difference]:
        """What changes, or changed. Raises ConflictError when the record moved on since it was shown."""
        wanted = self._wanted
        async with database.connection() as connection:
            planned, changes = await plan_edit(connection, self._target, wanted.partner_id, wanted)
        if not self._writes or not changes:
            if self._asks:
                print_changes(wanted.partner_id, changes, as_json=False)
            return changes
        if self._asks:
            print_changes(wanted.partner_id, changes, as_json=False, planned=True)
            typer.confirm("Apply?", abort=True)
        async with database.transaction() as tx:
            _, changes = await edit_partner(
                tx,
                self._target,
                wanted.partner_id,
                wanted,
                invoker(),
                version=planned.version,
                force=self._force,
            )
        return changes


def _parsed(file: Path) -> PartnerFile:
    """Raises InvalidInputError, naming the file."""
    try:
        return parse_partner_file(sys.stdin.read() if str(file) == "-" else file.read_text())
    except OSError as error:
        raise InvalidInputError(
            f"{file}: {error.strerror or type(error).__name__}; check its name and its mode"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{file}: not UTF-8 text; `proof partner show ID --toml` writes one that is right"
        ) from None
    except InvalidInputError as error:
        raise InvalidInputError(
            f"{file}: {error.message}; `proof partner show ID --toml` writes one that is right"
        ) from None
