"""proof operator: who may use the operator API."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from proof.cli.arguments import Data
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, printable, stated_errors
from proof.db import Database
from proof.partners.access.networks import parse_network
from proof.partners.access.operators import (
    DEFAULT_DAYS,
    MOST_DAYS,
    IssuedOperator,
    Operator,
    OperatorScope,
    add_operator,
    list_operators,
    revoke_operator,
)


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    operator = typer.Typer(no_args_is_help=True, help="Operators: who may use /operator/v1.")
    app.add_typer(operator, name="operator")
    _register_add(operator, open_installation)
    _register_list(operator, open_installation)
    _register_revoke(operator, open_installation)


def _register_add(operator: typer.Typer, open_installation: Opener) -> None:
    @operator.command()
    def add(
        name: Annotated[str, typer.Option(help="A person or program.")],
        scope: Annotated[OperatorScope, typer.Option(help="read looks; write changes as well.")],
        days: Annotated[
            int, typer.Option(help=f"How long it is good for: 1 to {MOST_DAYS} days.")
        ] = DEFAULT_DAYS,
        ip: Annotated[
            list[str] | None,
            typer.Option(
                help="An address or CIDR network it may be used from; repeatable. None: any address."
            ),
        ] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Issue an operator's token and print it, once.

        Example: proof operator add --name billing --scope read --days 90 --ip 203.0.113.7
        """

        async def issue(database: Database) -> IssuedOperator:
            networks = [parse_network(network) for network in ip or ()]
            async with database.transaction() as tx:
                return await add_operator(tx, name, scope, invoker(), days=days, networks=networks)

        with stated_errors():
            issued = open_installation(ServerOptions(data)).with_database(issue)
        if as_json:
            print_json(_issued_document(issued))
            return
        for label, value in (
            ("key_id", issued.key_id),
            ("name", name),
            ("scope", scope),
            ("expires", f"{issued.expires_at:%Y-%m-%d %H:%M} UTC"),
            ("ips", _ips(issued) or "any address"),
            ("token", issued.token),
        ):
            out.print(f"{label:8}{printable(value)}", markup=False)
        out.print("\nThe token is shown this once.", style="yellow")


def _register_list(operator: typer.Typer, open_installation: Opener) -> None:
    @operator.command("list")
    def list_all(data: Data = None, as_json: Json = False) -> None:
        """List operators, also those expired or revoked. Tokens are not kept and not shown."""

        async def read(database: Database) -> list[Operator]:
            async with database.connection() as connection:
                return await list_operators(connection)

        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(read)
        if as_json:
            print_json([_document(token) for token in found])
            return
        now = datetime.now(UTC)
        for token in found:
            line = f"{token.key_id}  {token.scope:5}  {_state(token, now)}  {printable(token.name)}"
            out.print(f"{line}  from {_ips(token)}" if token.networks else line, markup=False)


def _register_revoke(operator: typer.Typer, open_installation: Opener) -> None:
    @operator.command()
    def revoke(
        key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `list` shows it.")],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """End an operator's token for good, within a second.

        Example: proof operator revoke 1EbwoC8TaZVOC
        """

        async def end(database: Database) -> None:
            async with database.transaction() as tx:
                await revoke_operator(tx, key_id, invoker())

        with stated_errors():
            open_installation(ServerOptions(data)).with_database(end)
        if as_json:
            print_json({"key_id": key_id, "revoked": True})
        else:
            out.print(f"{key_id} is revoked", markup=False)


def _document(operator: Operator) -> dict[str, Any]:
    return {
        "key_id": operator.key_id,
        "name": operator.name,
        "scope": operator.scope,
        "created_at": operator.created_at.isoformat(),
        "expires_at": operator.expires_at.isoformat(),
        "revoked_at": operator.revoked_at.isoformat() if operator.revoked_at else None,
        "ips": [str(network) for network in operator.networks],
    }


def _issued_document(issued: IssuedOperator) -> dict[str, Any]:
    return {
        "key_id": issued.key_id,
        "name": issued.name,
        "scope": issued.scope,
        "expires_at": issued.expires_at.isoformat(),
        "ips": [str(network) for network in issued.networks],
        "token": issued.token,
    }


def _ips(operator: Operator | IssuedOperator) -> str:
    return ", ".join(str(network) for network in operator.networks)


def _state(operator: Operator, now: datetime) -> str:
    if operator.revoked_at is not None:
        return f"revoked {operator.revoked_at:%Y-%m-%d %H:%M}"
    word = "expired" if operator.expires_at <= now else "expires"
    return f"{word} {operator.expires_at:%Y-%m-%d %H:%M}"
