"""proof partner: onboarding."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.output import Json, out, print_json, stated_errors
from proof.cli.server import Data
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.networks import parse_network
from proof.partners.service import add_partner, base_urls
from proof.partners.types import Environment, NewPartner, OnboardedPartner
from proof.webhooks.service import set_endpoint

# The ramp's events; the timestamp API keeps its own two targets.
_TRANSACTION_EVENT = "transaction"


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    partner = typer.Typer(no_args_is_help=True, help="Partners: onboard and look after them.")
    app.add_typer(partner, name="partner")

    @partner.command()
    def add(
        name: Annotated[str, typer.Option(help="Company or product.")],
        email: Annotated[str, typer.Option(help="Contact for credentials and support.")],
        ip: Annotated[list[str], typer.Option(help="Production backend address or CIDR. Repeat.")],
        sandbox_ip: Annotated[
            list[str] | None, typer.Option(help="Sandbox backend. Repeat.")
        ] = None,
        timestamps_ip: Annotated[
            list[str] | None,
            typer.Option(help="Addresses that may use the timestamp API; none: any. Repeat."),
        ] = None,
        off_ramp: Annotated[bool, typer.Option(help="Whether users may sell.")] = False,
        webhook: Annotated[str, typer.Option(help="https URL for transaction events.")] = "",
        sandbox_webhook: Annotated[str, typer.Option(help="The same in the sandbox.")] = "",
        widget_origin: Annotated[
            list[str] | None, typer.Option(help="Site that may frame the widget. Repeat.")
        ] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Onboard a partner and print its credentials, once.

        Example: proof partner add --name Acme --email ops@acme.example --ip 203.0.113.7
        """
        with stated_errors():
            new = NewPartner(
                name=name,
                contact_email=email,
                production_networks=tuple(map(parse_network, ip)),
                sandbox_networks=tuple(map(parse_network, sandbox_ip or ())),
                timestamp_networks=tuple(map(parse_network, timestamps_ip or ())),
                off_ramp=off_ramp,
                widget_origins=tuple(widget_origin or ()),
            )
            webhooks = {Environment.PRODUCTION: webhook, Environment.SANDBOX: sandbox_webhook}
            installation = open_installation(ServerOptions(data))
            sheet = installation.with_database(
                lambda database: _add(installation, database, new, webhooks)
            )
        if as_json:
            print_json(sheet)
        else:
            _print(sheet)


async def _add(
    installation: Installation,
    database: Database,
    new: NewPartner,
    webhooks: dict[Environment, str],
) -> dict[str, Any]:
    async with database.transaction() as tx:
        onboarded = await add_partner(tx, installation.vault(), new, actor=Actor("cli"))
        for issued in onboarded.environments:
            url = webhooks[issued.environment]
            await set_endpoint(
                tx, installation.policy(), issued.partner_environment_id, _TRANSACTION_EVENT, url
            )
        served = await base_urls(tx)
    return _sheet(onboarded, installation.base_urls(served))


def _sheet(onboarded: OnboardedPartner, urls: Mapping[Environment, str]) -> dict[str, Any]:
    sheet: dict[str, Any] = {"partner_id": onboarded.partner_id}
    for issued in onboarded.environments:
        sheet[issued.environment] = {
            "base_url": urls[issued.environment],
            "client_token": issued.client_token,
            "api_key": issued.api_key,
            "widget_id": issued.widget_id,
            "webhook_secret": issued.webhook_secret,
        }
    return sheet


def _print(sheet: dict[str, Any]) -> None:
    out.print(f"partner_id  {sheet['partner_id']}", markup=False)
    for environment in Environment:
        out.print(f"\n{environment}", style="bold")
        for name, value in sheet[environment].items():
            out.print(f"  {name:15}{value}", markup=False)
    out.print("\nThe secrets are shown this once. Hand them over on a safe way.", style="yellow")
