"""What is handed over after onboarding, as one document."""

from collections.abc import Mapping

from msgspec import Struct

from proof.partners.types import Environment, OnboardedPartner


class EnvironmentCredentials(Struct, frozen=True, kw_only=True):
    """One environment's: where to call, and with what."""

    base_url: str
    client_token: str
    api_key: str
    widget_id: str
    webhook_secret: str

    def __repr__(self) -> str:
        return f"EnvironmentCredentials(base_url={self.base_url!r})"


class PartnerCredentials(Struct, frozen=True, kw_only=True):
    """Both environments'. Shown once."""

    partner_id: str
    production: EnvironmentCredentials
    sandbox: EnvironmentCredentials


def credentials(onboarded: OnboardedPartner, urls: Mapping[Environment, str]) -> PartnerCredentials:
    """The document; `urls` are the base URLs."""
    parts = {
        str(one.environment): EnvironmentCredentials(
            base_url=urls[one.environment],
            client_token=one.client_token,
            api_key=one.api_key,
            widget_id=one.widget_id,
            webhook_secret=one.webhook_secret,
        )
        for one in onboarded.environments
    }
    return PartnerCredentials(partner_id=onboarded.partner_id, **parts)
