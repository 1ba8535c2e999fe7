"""proof partner handover: the integration sheet, and links that show secrets once."""

from datetime import datetime
from typing import Annotated, Any

import typer

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, err, out, print_json, stated_errors
from proof.core.clock import SystemClock
from proof.db import Database
from proof.mail import MailError
from proof.partners.handover.links import HandoverLink, mail_link, make_link
from proof.partners.handover.opening import renew_credentials, tokens_of
from proof.partners.handover.sheet import integration_sheet
from proof.partners.records.service import find_partner
from proof.partners.records.types import TRANSACTION_EVENT, PartnerRecord
from proof.partners.service import base_urls
from proof.partners.types import Environment
from proof.ramp.providers.accounts import lacking_provider
from proof.webhooks.service import Target


def register(partner: typer.Typer, open_installation: Opener) -> None:
    """Add the command to `proof partner`."""

    @partner.command()
    def handover(
        partner_id: Annotated[str, typer.Argument(metavar="ID", help="The partner's id, ptr_…")],
        link: Annotated[
            bool,
            typer.Option(
                "--link",
                help="Issue new tokens and make a link that shows them once within 24 hours; mailed to"
                " the contact when a relay is set, printed otherwise. The old tokens end as after"
                " `proof token rotate`.",
            ),
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Print a page for the partner's developers, in Markdown and without secrets.

        Example: proof partner handover ptr_3mF8… --link
        """
        with stated_errors():
            handing = _Handing(open_installation(ServerOptions(data)), partner_id)
            shown = handing.installation.with_database(handing.linked if link else handing.sheet)
        if as_json:
            print_json(shown)
        elif link:
            print_link(shown)
        else:
            out.print(shown["markdown"], end="", markup=False)


class _Handing:
    def __init__(self, installation: Installation, partner_id: str) -> None:
        self.installation = installation
        self._partner_id = partner_id
        self._target = Target(installation.policy(), TRANSACTION_EVENT)

    async def sheet(self, database: Database) -> dict[str, Any]:
        async with database.connection() as connection:
            record = await find_partner(connection, self._target, self._partner_id)
            urls = self.installation.base_urls(await base_urls(connection))
            lacking = await lacking_provider(connection, self._partner_id)
        sheet = integration_sheet(record, urls, lacking=lacking)
        return {"partner_id": self._partner_id, "markdown": sheet}

    async def linked(self, database: Database) -> dict[str, Any]:
        now, vault = SystemClock().now(), self.installation.vault()
        async with database.transaction() as tx:
            record = await find_partner(tx, self._target, self._partner_id)
            urls = self.installation.base_urls(await base_urls(tx))
            secrets = await renew_credentials(tx, vault, record, urls, invoker(), now)
            held = tokens_of(secrets)
            link = await make_link(
                tx, vault, self._partner_id, held, urls[Environment.PRODUCTION], now, invoker()
            )
        return await handed_over(self.installation, record, link)


async def handed_over(
    installation: Installation, record: PartnerRecord, link: HandoverLink
) -> dict[str, Any]:
    """Mail the link when there is a relay; what to print. A relay's failure is told, and loses nothing."""
    return {
        "partner_id": record.partner_id,
        "handover_url": link.url,
        "expires_at": link.expires_at.isoformat(),
        "mailed_to": await _mailed(installation, record, link),
    }


def print_link(shown: dict[str, Any]) -> None:
    """For people; a link that was mailed is not shown to anybody else."""
    out.print(f"partner_id  {shown['partner_id']}", markup=False)
    if shown["mailed_to"]:
        out.print(f"the link was mailed to {shown['mailed_to']}", markup=False)
    else:
        out.print(f"link        {shown['handover_url']}", markup=False)
    until = datetime.fromisoformat(shown["expires_at"])
    out.print(f"it shows the secrets once, until {until:%Y-%m-%dT%H:%M:%SZ}", markup=False)


async def _mailed(
    installation: Installation, record: PartnerRecord, link: HandoverLink
) -> str | None:
    mailer = installation.mailer()
    if mailer is None:
        return None
    try:
        return await mail_link(mailer, record, link)
    except MailError as error:
        err.print(f"proof: {error.message}; send the link yourself", markup=False, style="red")
        return None
