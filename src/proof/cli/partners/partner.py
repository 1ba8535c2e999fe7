"""proof partner: looking and suspending; the other commands have files of their own."""

from typing import Annotated, Any

import msgspec
import typer

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, printable, stated_errors
from proof.cli.partners import apply, edit, handover, onboarding
from proof.db import Database
from proof.partners.records.file import partner_file
from proof.partners.records.service import (
    PAGE_MAX,
    Status,
    find_partner,
    list_partners,
    set_status,
)
from proof.partners.records.types import TRANSACTION_EVENT, PartnerSummary
from proof.partners.records.view import PartnerView, view
from proof.partners.service import base_urls
from proof.partners.types import Environment
from proof.ramp.providers.accounts import lacking_provider
from proof.webhooks.service import Target

PartnerId = Annotated[str, typer.Argument(metavar="ID", help="The partner's id, ptr_…")]


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    partner = typer.Typer(no_args_is_help=True, help="Partners: onboard and look after them.")
    app.add_typer(partner, name="partner")
    onboarding.register(partner, open_installation)
    handover.register(partner, open_installation)
    _register_views(partner, open_installation)
    _register_states(partner, open_installation)
    edit.register(partner, open_installation)
    apply.register(partner, open_installation)


def _register_views(partner: typer.Typer, open_installation: Opener) -> None:
    @partner.command()
    def show(
        partner_id: PartnerId,
        as_file: Annotated[
            bool, typer.Option("--toml", help="As a partner file, to change and apply.")
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Show a partner's record, and what still keeps an environment from working.

        Example: proof partner show ptr_3mF8… --toml > acme.toml
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            found = installation.with_database(
                lambda database: _view(installation, database, partner_id)
            )
        if as_file:
            out.print(partner_file(found), end="", markup=False)
        elif as_json:
            print_json(msgspec.to_builtins(found))
        else:
            _print_view(found)

    @partner.command("list")
    def list_all(data: Data = None, as_json: Json = False) -> None:
        """List all partners in the order they came."""
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(_all)
        if as_json:
            print_json(msgspec.to_builtins(found))
            return
        for value in found:
            out.print(
                f"{value.partner_id}  {value.status:9}  {printable(value.name)}  {value.contact_email}",
                markup=False,
            )


def _register_states(partner: typer.Typer, open_installation: Opener) -> None:
    def change(partner_id: str, status: Status, data: Data, *, as_json: bool) -> None:
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            installation.with_database(
                lambda database: _set_status(installation, database, partner_id, status)
            )
        if as_json:
            print_json({"partner_id": partner_id, "status": status})
        else:
            out.print(f"{partner_id} is {status}", markup=False)

    @partner.command()
    def suspend(partner_id: PartnerId, data: Data = None, as_json: Json = False) -> None:
        """Refuse every call of a partner, within a second. Nothing is lost.

        Example: proof partner suspend ptr_3mF8…
        """
        change(partner_id, "suspended", data, as_json=as_json)

    @partner.command()
    def resume(partner_id: PartnerId, data: Data = None, as_json: Json = False) -> None:
        """End a suspension.

        Example: proof partner resume ptr_3mF8…
        """
        change(partner_id, "active", data, as_json=as_json)


def _target(installation: Installation) -> Target:
    return Target(installation.policy(), TRANSACTION_EVENT)


async def _view(installation: Installation, database: Database, partner_id: str) -> PartnerView:
    async with database.connection() as connection:
        found = await find_partner(connection, _target(installation), partner_id)
        lacking = await lacking_provider(connection, partner_id)
        return view(found, installation.base_urls(await base_urls(connection)), lacking)


async def _all(database: Database) -> list[PartnerSummary]:
    found: list[PartnerSummary] = []
    async with database.connection() as connection:
        while page := await list_partners(
            connection, found[-1].partner_id if found else None, PAGE_MAX
        ):
            found += page
    return found


async def _set_status(
    installation: Installation, database: Database, partner_id: str, status: Status
) -> None:
    async with database.transaction() as tx:
        await set_status(tx, _target(installation), partner_id, status, invoker())


def _print_view(found: PartnerView) -> None:
    for name in ("partner_id", "name", "contact_email", "status", "version", "created_at"):
        out.print(f"{name:15}{printable(str(getattr(found, name)))}", markup=False)
    for environment in Environment:
        out.print(f"\n{environment}", style="bold")
        part = msgspec.json.decode(msgspec.json.encode(getattr(found, environment)))
        lacking = part.pop("missing")
        for name, value in part.items():
            for label, line in _lines(name, value):
                out.print(f"  {label:15}{line}", markup=False)
        for item in lacking:
            out.print(f"  missing        {item}", markup=False, style="yellow")


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    if name == "wallets" and value:
        texts = [" ".join((item["currency"], item["network"], item["address"])) for item in value]
        states = ["" if item["active"] else " (not active)" for item in value]
        return [
            ("" if number else name, text + state)
            for number, (text, state) in enumerate(zip(texts, states, strict=True))
        ]
    # The two lists mean opposite things when they are empty.
    empty = {"ips": "none: nobody is let in", "timestamp_ips": "any address"}
    return [(name, _shown(value) if value else empty.get(name, _shown(value)))]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(
            f"{name} {_shown(item)}" for name, item in value.items() if item not in ("", [])
        )
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"
