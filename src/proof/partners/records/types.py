"""A partner's record: what it is called, and what each of its environments may do.

The same shape everywhere: `/operator/v1`, the partner file and `proof partner show`.
"""

from datetime import datetime
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from proof.db import Connection
from proof.partners.types import Environment

UNLIMITED: Literal["unlimited"] = "unlimited"
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Limit = Count | Literal["unlimited"]

# The type of the events that go to a partner's ramp endpoint.
TRANSACTION_EVENT = "transaction"


class Wallet(Struct, frozen=True, forbid_unknown_fields=True):
    """Where coins of one currency go on one network. An inactive one is kept and not used."""

    currency: str
    network: str
    address: str
    active: bool = True


class AmountRange(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session may be opened with of one currency on one network, in coins; empty: the provider's
    own bound."""

    currency: str
    network: str
    minimum: str = ""
    maximum: str = ""


class WidgetConfig(Struct, frozen=True, kw_only=True):
    """What a widget starts with. Empty: all that is enabled, or the widget's own default."""

    type: Literal["buy", "sell"] = "buy"
    currencies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    fiat_currency: str = ""
    fiat_currencies: tuple[str, ...] = ()
    lang: str = ""
    theme: str = ""
    redirect_url: str = ""


class MonthlyLimits(Struct, frozen=True, kw_only=True):
    """How many calls of each kind a month may hold."""

    timestamps: Limit = UNLIMITED
    proofs: Limit = UNLIMITED
    status: Limit = UNLIMITED


class EnvironmentRecord(Struct, frozen=True, kw_only=True):
    """One environment: networks are canonical CIDR, addresses canonical for their chain.

    `ips` is the allowlist of the `client_token`, `timestamp_ips` that of the `api_key`; `webhook` is
    empty or the https URL that transaction events go to.
    """

    widget_id: str = ""
    ips: tuple[str, ...] = ()
    timestamp_ips: tuple[str, ...] = ()
    off_ramp: bool = False
    own_address: bool = False
    currencies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    wallets: tuple[Wallet, ...] = ()
    amounts: tuple[AmountRange, ...] = ()
    widget_origins: tuple[str, ...] = ()
    widget_config: WidgetConfig = WidgetConfig()
    webhook: str = ""
    limits: MonthlyLimits = MonthlyLimits()


class PartnerRecord(Struct, frozen=True, kw_only=True):
    """A partner. `version` grows by one with each change."""

    partner_id: str
    name: str
    contact_email: str
    status: Literal["active", "suspended"]
    version: int
    created_at: datetime
    production: EnvironmentRecord
    sandbox: EnvironmentRecord

    def environment(self, environment: Environment) -> EnvironmentRecord:
        """That environment's part."""
        return self.production if environment is Environment.PRODUCTION else self.sandbox


class PartnerSummary(Struct, frozen=True, kw_only=True):
    """A line of a list."""

    partner_id: str
    name: str
    contact_email: str
    status: Literal["active", "suspended"]
    version: int
    created_at: datetime


class WebhookTarget(Protocol):
    """The endpoint of one type of event, for each partner environment."""

    async def get(self, connection: Connection, partner_environment_id: int) -> str:
        """Its URL, empty when there is none."""
        ...

    async def put(self, tx: Connection, partner_environment_id: int, url: str) -> None:
        """Set the URL, or remove it when empty. Raises InvalidInputError for one that is not allowed."""
        ...
