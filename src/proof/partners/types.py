"""What a partner is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


class Environment(StrEnum):
    """Where a call belongs. Nothing crosses from one to the other."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"


class CredentialKind(StrEnum):
    """What a credential is good for: the ramp (`client_token`) or timestamps (`api_key`)."""

    CLIENT_TOKEN = "client_token"  # noqa: S105 - the name of a kind, not a token
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Limits:
    """Monthly limits of one environment; None is unlimited."""

    timestamps: int | None = None
    proofs: int | None = None
    status: int | None = None

    def all(self) -> tuple[int | None, int | None, int | None]:
        """The limits in the order above."""
        return self.timestamps, self.proofs, self.status


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What the operator set for a partner's widget sessions.

    `currencies` and `networks` are those enabled, `shown_…` those the widget offers, which may be empty
    for all of them. `wallets` holds the address of each active (currency, network), `amounts` the least
    and the most of one, None where the provider decides. Empty texts: the default.
    """

    widget_id: str = ""
    off_ramp: bool = False
    own_address: bool = False
    currencies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    wallets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    amounts: Mapping[tuple[str, str], tuple[Decimal | None, Decimal | None]] = field(
        default_factory=dict
    )
    type: str = "buy"
    shown_currencies: tuple[str, ...] = ()
    shown_networks: tuple[str, ...] = ()
    fiat_currency: str = ""
    fiat_currencies: tuple[str, ...] = ()
    lang: str = ""
    theme: str = ""
    redirect_url: str = ""


NO_TERMS = SessionTerms()


@dataclass(frozen=True, slots=True)
class PartnerEnvironment:
    """One partner's side of one environment: the owner of all its data there."""

    id: int
    partner_id: str
    environment: Environment
    limits: Limits
    suspended: bool
    allowlists: dict[CredentialKind, tuple[Network, ...]]
    terms: SessionTerms = NO_TERMS


@dataclass(frozen=True, slots=True)
class IssuedEnvironment:
    """What a partner is handed for one environment. Shown once: only hashes of it are kept."""

    partner_environment_id: int
    environment: Environment
    widget_id: str
    client_token: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OnboardedPartner:
    """A new partner and its secrets, one set per environment."""

    partner_id: str
    environments: tuple[IssuedEnvironment, ...]
