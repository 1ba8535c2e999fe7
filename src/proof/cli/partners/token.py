"""proof token: rotating, revoking and listing the credentials of partners."""

from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, Env, Kind, Partner, parse_duration
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_columns, print_json, stated_errors, time_text
from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.access import rotation
from proof.partners.access.rotation import CredentialInfo, IssuedToken
from proof.partners.types import CredentialKind


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    token = typer.Typer(no_args_is_help=True, help="Tokens: rotate, revoke, list.")
    app.add_typer(token, name="token")

    @token.command()
    def rotate(
        partner: Partner,
        env: Env,
        kind: Kind,
        grace: Annotated[
            str,
            typer.Option(
                help="How long old tokens last after the new one's first use; 0: end now."
            ),
        ] = "24h",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Issue a new token and print it, once. Old ones end after their grace, in 7 days at the latest.

        Example: proof token rotate ptr_3mF8… --env production --kind client_token
        """

        async def act(database: Database) -> IssuedToken:
            async with database.transaction() as tx:
                now = SystemClock().now()
                return await rotation.rotate(tx, partner, env, kind, invoker(), now, lasting)

        with stated_errors():
            lasting = parse_duration("--grace", grace)
            issued = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            ending = {key_id: time_text(at) for key_id, at in issued.ending.items()}
            print_json({"key_id": issued.key_id, "token": issued.token, "ending": ending})
        else:
            _print_issued(issued, kind)

    @token.command()
    def revoke(
        key_id: Annotated[str, typer.Argument(help="From `proof token list`.", metavar="KEYID")],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """End one token now, in every process within a second.

        Example: proof token revoke 03A4afx1kCKBF
        """

        async def act(database: Database) -> None:
            async with database.transaction() as tx:
                await rotation.revoke(tx, key_id, invoker(), SystemClock().now())

        with stated_errors():
            open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            print_json({"key_id": key_id, "revoked": True})
        else:
            out.print(f"{key_id} is revoked", markup=False)

    @token.command("list")
    def list_(partner: Partner, data: Data = None, as_json: Json = False) -> None:
        """Every token of a partner: state, deadline, and when and from where it was last used.

        Example: proof token list ptr_3mF8…
        """

        async def act(database: Database) -> list[CredentialInfo]:
            async with database.connection() as connection:
                now = SystemClock().now()
                return await rotation.list_credentials(connection, partner, now)

        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(act)
        _print_list([_row(credential) for credential in found], as_json)


def _print_issued(issued: IssuedToken, kind: CredentialKind) -> None:
    out.print(f"{kind}  {issued.token}", markup=False)
    for key_id, at in issued.ending.items():
        out.print(f"{key_id} ends at {time_text(at)} at the latest", markup=False)
    out.print("\nThe token is shown this once. Hand it over on a safe way.", style="yellow")


def _print_list(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    titles = ("key id", "environment", "kind", "created", "state", "ends", "last used", "from")
    print_columns(titles, [list(row.values()) for row in rows])


def _row(info: CredentialInfo) -> dict[str, Any]:
    return {
        "key_id": info.key_id,
        "environment": info.environment,
        "kind": info.kind,
        "created_at": time_text(info.created_at),
        "state": info.state,
        "ends_at": time_text(info.revoked_at or info.expires_at),
        "last_used_at": time_text(info.last_used_at),
        "last_address": None if info.last_address is None else str(info.last_address),
    }
