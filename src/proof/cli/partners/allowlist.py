"""proof allowlist: who may call from where."""

from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, Env, Kind, Partner
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, stated_errors
from proof.db import Database
from proof.partners.access import allowlists
from proof.partners.access.allowlists import AllowlistInfo, Place
from proof.partners.access.networks import AllowlistMode, parse_network
from proof.partners.types import CredentialKind

Net = Annotated[
    str, typer.Argument(help="An address or CIDR network, IPv4 or IPv6.", metavar="NETWORK")
]


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    allowlist = typer.Typer(no_args_is_help=True, help="Allowlists: who may call from where.")
    app.add_typer(allowlist, name="allowlist")

    @allowlist.command()
    def show(
        partner: Partner, env: Env, kind: Kind, data: Data = None, as_json: Json = False
    ) -> None:
        """The addresses a kind of token may be used from.

        Example: proof allowlist show ptr_3mF8… --env production --kind client_token
        """

        async def act(database: Database) -> AllowlistInfo:
            async with database.connection() as connection:
                return await allowlists.show(connection, Place(partner, env, kind))

        with stated_errors():
            info = open_installation(ServerOptions(data)).with_database(act)
        _print(info, as_json)

    @allowlist.command()
    def add(
        partner: Partner,
        network: Net,
        env: Env,
        kind: Kind,
        force: Annotated[
            bool, typer.Option("--force", help="Accept wider than /8 (IPv4) or /32 (IPv6).")
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Let an address or network in, everywhere within a second.

        Example: proof allowlist add ptr_3mF8… 203.0.113.0/24 --env production --kind client_token
        """

        async def act(database: Database) -> AllowlistInfo:
            async with database.transaction() as tx:
                place = Place(partner, env, kind)
                return await allowlists.add(tx, place, wanted, invoker(), force=force)

        with stated_errors():
            wanted = parse_network(network)
            info = open_installation(ServerOptions(data)).with_database(act)
        _print(info, as_json)

    @allowlist.command()
    def remove(
        partner: Partner,
        network: Net,
        env: Env,
        kind: Kind,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Take an address or network off the list, everywhere within a second.

        Example: proof allowlist remove ptr_3mF8… 203.0.113.7 --env production --kind client_token
        """

        async def act(database: Database) -> AllowlistInfo:
            async with database.transaction() as tx:
                return await allowlists.remove(tx, Place(partner, env, kind), unwanted, invoker())

        with stated_errors():
            unwanted = parse_network(network)
            info = open_installation(ServerOptions(data)).with_database(act)
        _print(info, as_json)

    @allowlist.command()
    def mode(
        partner: Partner,
        wanted: Annotated[AllowlistMode, typer.Argument(help="enforce or report.", metavar="MODE")],
        env: Env,
        kind: Kind,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """enforce: refuse who is not on the list. report: let in, and name in `proof refusals`.

        Example: proof allowlist mode ptr_3mF8… report --env production --kind client_token
        """

        async def act(database: Database) -> AllowlistInfo:
            async with database.transaction() as tx:
                return await allowlists.set_mode(tx, Place(partner, env, kind), wanted, invoker())

        with stated_errors():
            info = open_installation(ServerOptions(data)).with_database(act)
        _print(info, as_json)


def _print(info: AllowlistInfo, as_json: bool) -> None:
    networks = [str(network) for network in info.networks]
    if as_json:
        place: dict[str, Any] = info.place._asdict()
        print_json({**place, "mode": info.mode, "networks": networks})
        return
    out.print(f"mode  {info.mode}")
    for network in networks:
        out.print(network, markup=False)
    if not networks:
        any_address = info.place.kind is CredentialKind.API_KEY
        out.print("empty: any address may call" if any_address else "empty: nobody may call")
