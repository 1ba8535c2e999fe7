"""proof provider: which payment provider a partner's environment uses."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from proof.cli.arguments import Data, Env
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import (
    Json,
    is_interactive,
    out,
    print_columns,
    print_json,
    stated_errors,
    time_text,
)
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.environments import environment_names
from proof.partners.service import base_urls
from proof.partners.types import Environment
from proof.ramp.providers.accounts import (
    AccountInfo,
    add_account,
    checked_credentials,
    list_accounts,
    remove_account,
)
from proof.ramp.providers.protocols import CredentialField
from proof.ramp.providers.registry import provider_named, providers


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    provider = typer.Typer(no_args_is_help=True, help="Payment providers: add, list, remove.")
    app.add_typer(provider, name="provider")
    _register_add(provider, open_installation)
    _register_list(provider, open_installation)

    @provider.command()
    def remove(
        partner: Annotated[str, typer.Option(help="The partner's id, ptr_….")],
        env: Env,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Open no more sessions with a provider. What is under way with it goes on to its end.

        Example: proof provider remove --partner ptr_3mF8… --env production
        """

        async def act(database: Database) -> UUID:
            async with database.transaction() as tx:
                return await remove_account(tx, partner, env, invoker())

        with stated_errors():
            removed = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            print_json({"id": str(removed), "removed": True})
        else:
            out.print(f"{removed} is removed", markup=False)


def _register_add(provider: typer.Typer, open_installation: Opener) -> None:
    @provider.command()
    def add(
        name: Annotated[
            str, typer.Argument(help=f"The provider: {' or '.join(providers())}.", metavar="NAME")
        ],
        partner: Annotated[str, typer.Option(help="The partner's id, ptr_….")],
        env: Env,
        credentials: Annotated[
            str | None,
            typer.Option(
                help="A JSON file with the credentials by name, - for standard input; asked for"
                " otherwise, when somebody is there to type."
            ),
        ] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Give a partner's environment a provider account; prints the URL for its callbacks.

        Example: proof provider add NAME --partner ptr_3mF8… --env production --credentials FILE
        """
        with stated_errors():
            fields = provider_named(name).fields
            given = _asked(fields, env) if credentials is None else _read(credentials)
            checked = checked_credentials(fields, env, given)
            installation = open_installation(ServerOptions(data))

            async def act(database: Database) -> tuple[UUID, str]:
                async with database.transaction() as tx:
                    added = await add_account(
                        tx, installation.vault(), partner, env, name, checked, invoker()
                    )
                    urls = installation.base_urls(await base_urls(tx))
                return added, f"{urls[env]}/providers/{name}/{added}/callback"

            added, url = installation.with_database(act)
        if as_json:
            print_json({"id": str(added), "callback_url": url})
            return
        out.print(f"account   {added}\ncallbacks {url}", markup=False)
        out.print("\nEnter this URL for callbacks at the provider.", style="yellow")


def _register_list(provider: typer.Typer, open_installation: Opener) -> None:
    @provider.command("list")
    def list_(
        partner: Annotated[str | None, typer.Option(help="One partner's only.")] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Provider accounts, and how many callbacks came.

        raw: the signature fits the body as it came; compact: the body without white space;
        unverified: neither.
        """
        with stated_errors():
            found = _listed(open_installation(ServerOptions(data)), partner)
        rows = [_row(info) for info in found]
        if as_json:
            print_json(rows)
            return
        titles = (
            "id", "provider", "partner", "environment", "created", "removed", "raw", "compact", "unverified"
        )  # fmt: skip
        print_columns(titles, [list(row.values()) for row in rows])


def _listed(installation: Installation, partner: str | None) -> list[AccountInfo]:
    async def act(database: Database) -> list[AccountInfo]:
        async with database.connection() as connection:
            if partner is None:
                return await list_accounts(connection)
            names = await environment_names(connection, partner)
            return await list_accounts(connection, list(names))

    return installation.with_database(act)


def _asked(fields: tuple[CredentialField, ...], env: Environment) -> dict[str, str]:
    """The values as typed; secrets are not shown, what has a default may be left empty, and what is
    generated is not asked for. Raises InvalidInputError when nobody is there to type."""
    if not is_interactive() and (names := [field.name for field in fields if not field.generated]):
        raise InvalidInputError(
            "nobody is here to type the credentials; --credentials takes a JSON file, or - for"
            f" standard input, with {', '.join(names)}; what has a default may be left out"
        )
    return {
        field.name: typer.prompt(
            f"{field.name} ({field.about})",
            default=field.default.get(env, "") or None,
            hide_input=field.secret,
            show_default=not field.secret,
            err=True,
        )
        for field in fields
        if not field.generated
    }


def _read(source: str) -> Mapping[str, str]:
    """Raises InvalidInputError; nothing of the content is repeated."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        found = json.loads(text)
    except (OSError, ValueError):
        raise InvalidInputError(
            f"--credentials: {source} is no readable JSON file; check its name, its mode and its JSON"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidInputError(
            '--credentials: it is no JSON object of texts; give {"name": "value", …}'
        )
    return found


def _row(info: AccountInfo) -> dict[str, Any]:
    return {
        "id": str(info.id),
        "provider": info.provider,
        "partner_id": info.partner_id,
        "environment": info.environment,
        "created_at": time_text(info.created_at),
        "removed_at": time_text(info.removed_at),
        "raw": info.raw,
        "compact": info.other,
        "unverified": info.unverified,
    }
