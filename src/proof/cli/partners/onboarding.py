"""proof partner add: onboarding."""

from typing import Annotated, Any

import msgspec
import typer

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, stated_errors
from proof.cli.partners.handover import handed_over, print_link
from proof.core.clock import SystemClock
from proof.db import Connection, Database
from proof.partners.handover.links import HandoverLink, make_link
from proof.partners.handover.opening import tokens_of
from proof.partners.handover.sheet import credentials
from proof.partners.records.changes import EnvironmentChange, PartnerChange
from proof.partners.records.service import find_partner
from proof.partners.records.types import TRANSACTION_EVENT, PartnerRecord
from proof.partners.service import add_partner, base_urls
from proof.partners.types import Environment, OnboardedPartner
from proof.webhooks.service import Target

Repeated = list[str] | None


def register(partner: typer.Typer, open_installation: Opener) -> None:
    """Add the command to `proof partner`."""

    @partner.command()
    def add(
        name: Annotated[str, typer.Option(help="Company or product.")],
        email: Annotated[str, typer.Option(help="Contact for credentials and support.")],
        ip: Annotated[list[str], typer.Option(help="Production backend address or CIDR. Repeat.")],
        sandbox_ip: Annotated[Repeated, typer.Option(help="Sandbox backend. Repeat.")] = None,
        timestamps_ip: Annotated[
            Repeated,
            typer.Option(help="Addresses that may use the timestamp API; none: any. Repeat."),
        ] = None,
        off_ramp: Annotated[bool, typer.Option(help="Whether users may sell.")] = False,
        webhook: Annotated[str, typer.Option(help="https URL for transaction events.")] = "",
        sandbox_webhook: Annotated[str, typer.Option(help="The same in the sandbox.")] = "",
        widget_origin: Annotated[
            Repeated,
            typer.Option(
                help="Site that may frame the widget, in the sandbox alone if it is http. Repeat."
            ),
        ] = None,
        link: Annotated[
            bool,
            typer.Option(
                "--link",
                help="Instead of the secrets, make a link that shows them once within 24 hours;"
                " mailed to the contact when a relay is set, printed otherwise.",
            ),
        ] = False,
        force: Annotated[
            bool,
            typer.Option("--force", help="Accept networks wider than /8 (IPv4) or /32 (IPv6)."),
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Onboard a partner and print its credentials, once.

        Example: proof partner add --name Acme --email ops@acme.example --ip 203.0.113.7
        """
        common: dict[str, Any] = {
            "timestamp_ips": tuple(timestamps_ip or ()),
            "off_ramp": off_ramp,
        }
        origins = tuple(widget_origin or ())
        secure = tuple(origin for origin in origins if not origin.startswith("http://"))
        wanted = PartnerChange(
            name=name,
            contact_email=email,
            production=EnvironmentChange(
                ips=tuple(ip), webhook=webhook, widget_origins=secure, **common
            ),
            sandbox=EnvironmentChange(
                ips=tuple(sandbox_ip or ()),
                webhook=sandbox_webhook,
                widget_origins=origins,
                **common,
            ),
        )
        with stated_errors():
            installation = open_installation(ServerOptions(data))
            onboarding = _Onboarding(installation, wanted, force=force)
            sheet = installation.with_database(onboarding.linked if link else onboarding.printed)
        if as_json:
            print_json(sheet)
        elif link:
            print_link(sheet)
        else:
            _print_credentials(sheet)


class _Onboarding:
    def __init__(self, installation: Installation, wanted: PartnerChange, *, force: bool) -> None:
        self._installation = installation
        self._wanted = wanted
        self._force = force
        self._webhooks = Target(installation.policy(), TRANSACTION_EVENT)

    async def printed(self, database: Database) -> dict[str, Any]:
        """The credentials, to be shown now."""
        async with database.transaction() as tx:
            onboarded = await self._add(tx)
            urls = self._installation.base_urls(await base_urls(tx))
        sheet: dict[str, Any] = msgspec.to_builtins(credentials(onboarded, urls))
        return sheet

    async def linked(self, database: Database) -> dict[str, Any]:
        """The link to them, mailed if there is a relay."""
        async with database.transaction() as tx:
            onboarded = await self._add(tx)
            record = await find_partner(tx, self._webhooks, onboarded.partner_id)
            link = await self._link(tx, onboarded, record)
        return await handed_over(self._installation, record, link)

    async def _add(self, tx: Connection) -> OnboardedPartner:
        return await add_partner(
            tx,
            self._installation.vault(),
            self._webhooks,
            self._wanted,
            invoker(),
            SystemClock(),
            force=self._force,
        )

    async def _link(
        self, tx: Connection, onboarded: OnboardedPartner, record: PartnerRecord
    ) -> HandoverLink:
        urls = self._installation.base_urls(await base_urls(tx))
        return await make_link(
            tx,
            self._installation.vault(),
            record.partner_id,
            tokens_of(credentials(onboarded, urls)),
            urls[Environment.PRODUCTION],
            SystemClock().now(),
            invoker(),
        )


def _print_credentials(sheet: dict[str, Any]) -> None:
    out.print(f"partner_id  {sheet['partner_id']}", markup=False)
    for environment in Environment:
        out.print(f"\n{environment}", style="bold")
        for name, value in sheet[environment].items():
            out.print(f"  {name:15}{value}", markup=False)
    out.print("\nThe secrets are shown this once. Hand them over on a safe way.", style="yellow")
