"""How changes of a record are shown."""

from typing import Annotated, Any

import msgspec
import typer

from proof.cli.arguments import Data
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, printable, stated_errors
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.records.changes import (
    Difference,
    EnvironmentChange,
    LimitsChange,
    PartnerChange,
    WidgetConfigChange,
)
from proof.partners.records.service import Edited, edit_partner
from proof.partners.records.types import TRANSACTION_EVENT, UNLIMITED, AmountRange, Limit, Wallet
from proof.partners.types import Environment
from proof.webhooks.service import Target

_DIGITS = 15
_REPEAT = "Repeat; replaces the list; one empty value empties it."
Texts = list[str] | None
Text = str | None
Flag = bool | None


def print_changes(
    partner_id: str, changes: list[Difference], *, as_json: bool, planned: bool = False
) -> None:
    """What changed, or `planned` is to change."""
    if as_json:
        print_json(
            {
                "partner_id": partner_id,
                "applied": not planned,
                "changes": [msgspec.to_builtins(change) for change in changes],
            }
        )
        return
    if not changes:
        out.print(f"{partner_id} is so already", markup=False)
        return
    out.print(f"{partner_id} {'would change' if planned else 'changed'}:", markup=False)
    for change in changes:
        out.print(f"  {change.field}", markup=False, style="bold")
        out.print(f"    - {_shown(change.before)}", markup=False, style="red")
        out.print(f"    + {_shown(change.after)}", markup=False, style="green")


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return printable(msgspec.json.encode(value).decode())


def register(partner: typer.Typer, open_installation: Opener) -> None:
    """Add the command to `proof partner`."""

    @partner.command()
    def edit(
        partner_id: Annotated[str, typer.Argument(metavar="ID", help="The partner's id, ptr_…")],
        environment: Annotated[
            Environment,
            typer.Option(
                "--environment", "--env", help="Which environment the options below are for."
            ),
        ] = Environment.PRODUCTION,
        name: Annotated[Text, typer.Option(help="Company or product; of both.")] = None,
        email: Annotated[Text, typer.Option(help="Contact address; of both.")] = None,
        ip: Annotated[Texts, typer.Option(help=f"Backend address or CIDR. {_REPEAT}")] = None,
        timestamps_ip: Annotated[
            Texts, typer.Option(help=f"Address or CIDR for the timestamp API. {_REPEAT}")
        ] = None,
        off_ramp: Annotated[
            Flag, typer.Option("--off-ramp/--no-off-ramp", help="Whether users may sell.")
        ] = None,
        own_address: Annotated[
            Flag,
            typer.Option(
                "--own-address/--no-own-address", help="Whether sessions may bring an address."
            ),
        ] = None,
        currency: Annotated[Texts, typer.Option(help=f"Enabled currency. {_REPEAT}")] = None,
        network: Annotated[Texts, typer.Option(help=f"Enabled network. {_REPEAT}")] = None,
        wallet: Annotated[
            Texts,
            typer.Option(
                help="CURRENCY:NETWORK:ADDRESS. With --inactive-wallet: replaces all. Repeat."
            ),
        ] = None,
        inactive_wallet: Annotated[
            Texts, typer.Option(help="The same, kept but not used. Repeat.")
        ] = None,
        amount: Annotated[
            Texts,
            typer.Option(
                help="CURRENCY:NETWORK:MINIMUM:MAXIMUM in coins; an empty bound is the provider's."
                f" {_REPEAT}"
            ),
        ] = None,
        widget_origin: Annotated[
            Texts, typer.Option(help=f"Site that may frame the widget. {_REPEAT}")
        ] = None,
        webhook: Annotated[
            Text, typer.Option(help="https URL for transaction events; empty: none.")
        ] = None,
        widget_type: Annotated[Text, typer.Option(help="buy or sell.")] = None,
        widget_currencies: Annotated[
            Texts, typer.Option(help=f"Currency on offer. {_REPEAT}")
        ] = None,
        widget_networks: Annotated[Texts, typer.Option(help=f"Network on offer. {_REPEAT}")] = None,
        widget_fiat_currency: Annotated[
            Text, typer.Option(help="Fiat currency it begins with.")
        ] = None,
        widget_fiat_currencies: Annotated[
            Texts, typer.Option(help=f"Fiat currency on offer. {_REPEAT}")
        ] = None,
        widget_lang: Annotated[Text, typer.Option(help="Language, like en.")] = None,
        widget_theme: Annotated[Text, typer.Option(help="Theme, by its name.")] = None,
        widget_redirect_url: Annotated[
            Text, typer.Option(help="https URL the user returns to.")
        ] = None,
        limit_timestamps: Annotated[
            Text, typer.Option(help="Hashes a month, or unlimited.")
        ] = None,
        limit_proofs: Annotated[Text, typer.Option(help="Proofs a month, or unlimited.")] = None,
        limit_status: Annotated[
            Text, typer.Option(help="Status calls a month, or unlimited.")
        ] = None,
        force: Annotated[
            bool,
            typer.Option("--force", help="Accept networks wider than /8 (IPv4) or /32 (IPv6)."),
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Change a partner's record. What is not named stays; lists are replaced whole.

        Example: proof partner edit ptr_… --currency USDT --network TRC20 --wallet USDT:TRC20:T…
        """
        with stated_errors():
            given = {
                "ips": ip,
                "timestamp_ips": timestamps_ip,
                "off_ramp": off_ramp,
                "own_address": own_address,
                "currencies": currency,
                "networks": network,
                "wallets": _wallets(wallet, inactive_wallet),
                "amounts": None if amount is None else [_range(text) for text in amount if text],
                "widget_origins": widget_origin,
                "webhook": webhook,
            }
            widget = {
                "type": _widget_type(widget_type),
                "currencies": widget_currencies,
                "networks": widget_networks,
                "fiat_currency": widget_fiat_currency,
                "fiat_currencies": widget_fiat_currencies,
                "lang": widget_lang,
                "theme": widget_theme,
                "redirect_url": widget_redirect_url,
            }
            limits = {
                "timestamps": _limit("timestamps", limit_timestamps),
                "proofs": _limit("proofs", limit_proofs),
                "status": _limit("status", limit_status),
            }
            part = EnvironmentChange(
                **_named(given),
                widget_config=WidgetConfigChange(**_named(widget)),
                limits=LimitsChange(**_named(limits)),
            )
            change = PartnerChange(
                **_named({"name": name, "contact_email": email, str(environment): part})
            )
            if not any(map(_named, (given, widget, limits, {"name": name, "email": email}))):
                raise InvalidInputError(
                    "nothing to change was named; `proof partner edit --help` lists what can be"
                )
            installation = open_installation(ServerOptions(data))
            _, changes = installation.with_database(
                lambda database: _edit(installation, database, partner_id, change, force=force)
            )
        print_changes(partner_id, changes, as_json=as_json)


async def _edit(
    installation: Installation,
    database: Database,
    partner_id: str,
    change: PartnerChange,
    *,
    force: bool,
) -> Edited:
    target = Target(installation.policy(), TRANSACTION_EVENT)
    async with database.transaction() as tx:
        return await edit_partner(tx, target, partner_id, change, invoker(), force=force)


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, by field; a list of one empty text is the empty list."""
    found = {name: value for name, value in given.items() if value is not None}
    return {
        name: () if value == [""] else tuple(value) if isinstance(value, list) else value
        for name, value in found.items()
    }


def _wallets(active: Texts, inactive: Texts) -> Any:
    if active is None and inactive is None:
        return None
    given = [(text, True) for text in active or ()] + [(text, False) for text in inactive or ()]
    return [_wallet(text, active=flag) for text, flag in given if text]


def _wallet(text: str, *, active: bool) -> Wallet:
    currency, _, rest = text.partition(":")
    network, _, address = rest.partition(":")
    if not address:
        raise InvalidInputError(
            f"wallet: {text!r} is not CURRENCY:NETWORK:ADDRESS; write one like USDT:TRC20:T…"
        )
    return Wallet(currency, network, address, active)


def _range(text: str) -> AmountRange:
    parts = text.split(":")
    if len(parts) != 4:
        raise InvalidInputError(
            f"amount: {text!r} is not CURRENCY:NETWORK:MINIMUM:MAXIMUM; write one like USDT:TRC20:10:5000"
        )
    return AmountRange(*parts)


def _widget_type(text: str | None) -> str | None:
    if text not in {None, "buy", "sell"}:
        raise InvalidInputError(f"widget-type: {text!r} is no kind of widget; give buy or sell")
    return text


def _limit(name: str, text: str | None) -> Limit | None:
    if text is None or text == UNLIMITED:
        return UNLIMITED if text else None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInputError(f"limit-{name}: {text!r} is no limit; give a number or {UNLIMITED}")
    return int(text)
