"""proof keys: the rings that sign widget sessions. Ids and times; never a key."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.output import Json, out, print_json, stated_errors
from proof.cli.server import Data
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.signing import RETAINED, KeyInfo, list_keys, rotate
from proof.partners.types import Environment


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    keys = typer.Typer(no_args_is_help=True, help="The keys that sign widget sessions.")
    app.add_typer(keys, name="keys")

    @keys.command(name="list")
    def show(data: Data = None, as_json: Json = False) -> None:
        """List the keys with their times. The key itself is never shown."""
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(_list)
        if as_json:
            print_json(list(map(_wire, found)))
            return
        for key in found:
            until = _text(key.retired_at + RETAINED) if key.retired_at else ""
            use = f"verifies until {until}" if until else "signs now"
            out.print(f"{key.environment:10}  {key.key_id}  {_text(key.created_at)}  {use}")

    @keys.command(name="rotate")
    def replace(
        env: Annotated[Environment, typer.Option("--env", help="Whose ring.")],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Sign with a new key from now on; the old one verifies for 26 hours more.

        The worker does so by itself every PROOF_SIGNING_KEY_DAYS days.

        Example: proof keys rotate --env production
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            key_id = installation.with_database(lambda each: _rotate(installation, each, env))
        if as_json:
            print_json({"environment": env, "key_id": key_id})
        else:
            out.print(f"{env} sessions are signed with key {key_id}", markup=False)


async def _list(database: Database) -> list[KeyInfo]:
    async with database.connection() as connection:
        return await list_keys(connection)


async def _rotate(installation: Installation, database: Database, environment: Environment) -> str:
    vault = installation.vault()
    async with database.transaction() as tx:
        return str(await rotate(tx, vault, environment, Actor("cli"), datetime.now(UTC)))


def _wire(key: KeyInfo) -> dict[str, Any]:
    return {
        "environment": key.environment,
        "key_id": str(key.key_id),
        "created_at": _text(key.created_at),
        "retired_at": _text(key.retired_at) or None,
    }


def _text(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
