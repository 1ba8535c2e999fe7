"""proof keys: those that sign widget sessions, and those that sign receipts. Never a private one."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, parse_duration
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, stated_errors, time_text
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.keys.session_signing import RETAINED, KeyInfo, list_keys, rotate
from proof.partners.types import Environment
from proof.receipts import keys as receipt_keys


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    keys = typer.Typer(
        no_args_is_help=True, help="The keys that sign widget sessions and receipts."
    )
    app.add_typer(keys, name="keys")
    _register_receipts(keys, open_installation)

    @keys.command(name="list")
    def show(data: Data = None, as_json: Json = False) -> None:
        """List the keys with their times. The key itself is never shown."""
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(_list)
        if as_json:
            print_json(list(map(_wire, found)))
            return
        for key in found:
            until = time_text(key.retired_at + RETAINED) if key.retired_at else ""
            use = f"verifies until {until}" if until else "signs now"
            out.print(f"{key.environment:10}  {key.key_id}  {time_text(key.created_at)}  {use}")

    @keys.command(name="rotate")
    def replace(
        env: Annotated[Environment, typer.Option("--env", help="Whose ring.")],
        grace: Annotated[
            str,
            typer.Option(
                help="26h: the old keys verify as long as any session made with them; 0: they end now,"
                " for one that became known."
            ),
        ] = "26h",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Sign with a new key from now on; the old one verifies for 26 hours more.

        The worker does so by itself every PROOF_SIGNING_KEY_DAYS days. With --grace 0 a widget that was not
        opened yet stays closed: its partner asks for another session. Widgets that are open go on.

        Example: proof keys rotate --env production --grace 0
        """
        with stated_errors():
            withdraw = _withdraws(grace)
            installation = open_installation(ServerOptions(data))
            key_id = installation.with_database(
                lambda database: _rotate(installation, database, env, withdraw=withdraw)
            )
        if as_json:
            print_json({"environment": env, "key_id": key_id, "old_keys_withdrawn": withdraw})
            return
        out.print(f"{env} sessions are signed with key {key_id}", markup=False)
        if withdraw:
            out.print("every earlier key is deleted and verifies no longer")


def _register_receipts(keys: typer.Typer, open_installation: Opener) -> None:
    receipts = typer.Typer(
        no_args_is_help=True, help="The keys that sign receipts and statements of the ramp."
    )
    keys.add_typer(receipts, name="receipts")

    @receipts.command(name="list")
    def show(data: Data = None, as_json: Json = False) -> None:
        """List the keys with their times: public halves, as GET /receipts/key serves them."""

        async def read(database: Database) -> list[receipt_keys.KeyInfo]:
            async with database.connection() as connection:
                return await receipt_keys.list_keys(connection)

        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(read)
        if as_json:
            print_json([_wire(key) | {"key": key.text} for key in found])
            return
        for key in found:
            until = time_text(key.retired_at)
            use = f"signed until {until}" if until else "signs now"
            times = f"{time_text(key.created_at)}  {use}"
            out.print(f"{key.environment:10}  {times}  {key.text}", markup=False)

    @receipts.command(name="rotate")
    def replace(
        env: Annotated[Environment, typer.Option("--env", help="Whose key.")],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Sign receipts with a new key from now on; the old one's private half is destroyed. Audited.

        The old one's public half is served beside the new one for ever, so receipts given out verify.

        Example: proof keys receipts rotate --env production
        """

        async def act(database: Database) -> str:
            async with database.transaction() as tx:
                now = datetime.now(UTC)
                return await receipt_keys.rotate(tx, vault, env, invoker(), now)

        with stated_errors():
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            key = installation.with_database(act)
        if as_json:
            print_json({"environment": env, "key": key})
            return
        out.print(f"{env} receipts are signed with {key}", markup=False)


async def _list(database: Database) -> list[KeyInfo]:
    async with database.connection() as connection:
        return await list_keys(connection)


async def _rotate(
    installation: Installation, database: Database, environment: Environment, *, withdraw: bool
) -> str:
    vault, now = installation.vault(), datetime.now(UTC)
    async with database.transaction() as tx:
        return str(await rotate(tx, vault, environment, invoker(), now, withdraw=withdraw))


def _withdraws(grace: str) -> bool:
    """Raises InvalidInputError for a time in between, which would end sessions by chance."""
    lasting = parse_duration("--grace", grace)
    if lasting not in {timedelta(0), RETAINED}:
        raise InvalidInputError(
            f"--grace: {grace!r} would end sessions by chance; give 26h, or 0 to end the old keys now"
        )
    return lasting == timedelta(0)


def _wire(key: KeyInfo | receipt_keys.KeyInfo) -> dict[str, Any]:
    return {
        "environment": key.environment,
        "key_id": str(key.key_id),
        "created_at": time_text(key.created_at),
        "retired_at": time_text(key.retired_at),
    }
