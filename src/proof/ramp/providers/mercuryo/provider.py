"""What Mercuryo tells of itself."""

from decimal import Decimal
from importlib.resources import files

from proof.partners.types import Environment
from proof.ramp.providers.mercuryo.adapter import MercuryoAdapter
from proof.ramp.providers.mercuryo.wire import VERDICTS
from proof.ramp.providers.protocols import AmountRange, CredentialField
from proof.ramp.providers.registry import OwnWidget, Provider

_ABOUT = """\
Mercuryo's own widget opens in the hosted page, and takes pictures of papers and faces there. Within the
amounts below it decides itself: what it takes of one user depends on rates, papers and country. It signs
the body of a callback as it is or without white space; `proof provider list` shows which, as `raw` and
`compact`. An end that its callback tells of is asked about before it is believed."""

PROVIDER = Provider(
    name="mercuryo",
    about=_ABOUT,
    adapter=MercuryoAdapter,
    fields=(
        CredentialField("widget_id", "the widget's id in Mercuryo's dashboard", secret=False),
        CredentialField("widget_secret", "the widget's secret, which signs sessions"),
        CredentialField("sign_key", "the widget's sign key, which signs callbacks"),
        CredentialField("sdk_partner_token", "Sdk-Partner-Token, from Mercuryo's manager"),
        CredentialField(
            "api_url",
            "where its API is",
            secret=False,
            default={
                Environment.PRODUCTION: "https://api.mercuryo.io/v1.6",
                Environment.SANDBOX: "https://sandbox-api.mrcr.io/v1.6",
            },
        ),
        CredentialField(
            "widget_url",
            "where its widget's script is",
            secret=False,
            default={
                Environment.PRODUCTION: "https://widget.mercuryo.io/embed.2.1.js",
                Environment.SANDBOX: "https://sandbox-widget.mrcr.io/embed.2.1.js",
            },
        ),
    ),
    statuses=VERDICTS,
    amounts={
        "BTC": AmountRange(Decimal("0.0001"), Decimal(1)),
        "ETH": AmountRange(Decimal("0.003"), Decimal(20)),
        "USDT": AmountRange(Decimal(10), Decimal(50_000)),
        "USDC": AmountRange(Decimal(10), Decimal(50_000)),
    },
    widget=OwnWidget(
        hosts=("https://*.mercuryo.io", "https://*.mrcr.io"),
        opener=files("proof.ramp.providers.mercuryo").joinpath("opener.js"),
    ),
)
