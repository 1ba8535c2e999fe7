"""Partners that sell coins, and the sessions they open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import WEBHOOKS, issued

from proof.core.clock import SystemClock
from proof.partners.audit import Actor
from proof.partners.records.changes import EnvironmentChange, PartnerChange
from proof.partners.records.types import Wallet, WidgetConfig
from proof.partners.service import add_partner
from proof.partners.types import Environment, OnboardedPartner
from proof.ramp.providers.accounts import add_account

PREFIX = {Environment.PRODUCTION: "", Environment.SANDBOX: "/sandbox"}
WALLET = "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf"
OWN = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"
EMAIL = "user@shop.example"
BODY: Mapping[str, Any] = {
    "partner_user_id": "user 4711/ä",
    "user_email": EMAIL,
    "network": "TRC20",
    "currency": "USDT",
    "amount": "25.50",
}
# Nobody listens there.
MERCURYO: Mapping[str, str] = {
    "widget_id": "w",
    "widget_secret": "s",
    "sign_key": "k",
    "sdk_partner_token": "t",
    "api_url": "https://127.0.0.1:1/v1.6",
    "widget_url": "https://127.0.0.1:1/embed.js",
}
_TERMS: Mapping[str, Any] = {
    "currencies": ("USDT", "BTC"),
    "networks": ("TRC20", "ERC20", "BTC"),
    "wallets": (
        Wallet("USDT", "TRC20", WALLET),
        Wallet("USDT", "ERC20", "0x00702E5Ed1Fe0133A311f8773072988A8806C48F", active=False),
    ),
    "widget_config": WidgetConfig(
        fiat_currency="USD",
        fiat_currencies=("EUR", "USD"),
        lang="en",
        theme="dark",
        redirect_url="https://shop.example/thanks",
    ),
}


@dataclass(frozen=True, slots=True)
class Shop:
    """A partner as its own backend knows itself."""

    partner: OnboardedPartner

    def token(self, environment: Environment) -> str:
        return issued(self.partner, environment).client_token

    def widget_id(self, environment: Environment) -> str:
        return issued(self.partner, environment).widget_id

    async def call(
        self,
        platform: Platform,
        environment: Environment,
        method: str,
        path: str,
        body: Any = None,
        **options: Any,
    ) -> Answer:
        """One call with the environment's token, below its base URL."""
        return await platform.call(
            method, PREFIX[environment] + path, body, token=self.token(environment), **options
        )


async def ramp_partner(
    platform: Platform,
    ips: Sequence[str] = (f"{CALLER}/32",),
    *,
    provider: bool = True,
    name: str = "Shop",
    sandbox: Mapping[str, Any] | None = None,
    **terms: Any,
) -> Shop:
    """A new partner with a wallet in both environments; `terms` are fields of EnvironmentChange, `sandbox`
    those that its sandbox has besides. Without a `provider` its production has none."""
    change = EnvironmentChange(ips=tuple(ips), **{**_TERMS, **terms})
    own = msgspec.structs.replace(change, **(sandbox or {}))
    wanted = PartnerChange(
        name=name, contact_email="dev@shop.example", production=change, sandbox=own
    )
    async with platform.database.transaction() as tx:
        partner = await add_partner(
            tx, platform.vault, WEBHOOKS, wanted, Actor("operator"), SystemClock()
        )
        if provider:
            await add_account(
                tx,
                platform.vault,
                partner.partner_id,
                Environment.PRODUCTION,
                "mercuryo",
                MERCURYO,
                Actor("operator"),
            )
    await platform.poll()
    return Shop(partner)


async def open_session(
    platform: Platform,
    shop: Shop,
    environment: Environment = Environment.SANDBOX,
    changes: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Answer:
    """POST /widget/session with a right body but for the changes; None leaves a field out."""
    body = {name: item for name, item in {**BODY, **(changes or {})}.items() if item is not None}
    headers = () if key is None else (("idempotency-key", key),)
    return await shop.call(platform, environment, "POST", "/widget/session", body, headers=headers)
