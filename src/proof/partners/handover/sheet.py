"""The integration sheet: one page of Markdown for a partner's developers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from proof.partners.records.types import EnvironmentRecord, PartnerRecord
from proof.partners.records.view import missing
from proof.partners.types import Environment, OnboardedPartner

_NOTHING: Mapping[Environment, Sequence[str]] = MappingProxyType({})
_SECRETS = ("client_token", "api_key", "webhook_secret")
_WHERE_FROM = (
    "From a backend on the list; never from a browser. The base URL decides the environment, and the"
    " token must belong to it."
)
_FIRST_SESSION = (
    '{"partner_user_id":"user-4711","user_email":"user@example.com",'
    '"currency":"USDT","network":"TRC20","amount":"25.5"}'
)


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
        str(environment.environment): EnvironmentCredentials(
            base_url=urls[environment.environment],
            client_token=environment.client_token,
            api_key=environment.api_key,
            widget_id=environment.widget_id,
            webhook_secret=environment.webhook_secret,
        )
        for environment in onboarded.environments
    }
    return PartnerCredentials(partner_id=onboarded.partner_id, **parts)


def integration_sheet(
    record: PartnerRecord,
    urls: Mapping[Environment, str],
    secrets: PartnerCredentials | None = None,
    lacking: Mapping[Environment, Sequence[str]] = _NOTHING,
) -> str:
    """Markdown. Without `secrets` it holds none and may travel in the open. `lacking` is what is missing
    beside the record."""
    lines = [
        f"# {_escaped(record.name)}: integration sheet",
        "",
        f"Partner id `{record.partner_id}`",
    ]
    if record.status == "suspended":
        lines += ["", "**Suspended:** every call is refused until the operator ends that."]
    for environment in Environment:
        part = getattr(secrets, environment) if secrets else None
        found = record.environment(environment)
        lacks = (*missing(found), *lacking.get(environment, ()))
        lines += _environment(environment, found, urls[environment], part, lacks)
    return "\n".join([*lines, *_calls(urls)]) + "\n"


def _environment(
    name: Environment,
    record: EnvironmentRecord,
    url: str,
    secrets: EnvironmentCredentials | None,
    lacks: Sequence[str],
) -> Iterator[str]:
    yield from ("", f"## {name.capitalize()}", "", "| | |", "| --- | --- |")
    rows = {
        "Base URL": _code([url]),
        "Widget id": _code([record.widget_id]),
        "Addresses for the `client_token`": _code(record.ips) or "none yet: every call is refused",
        "Addresses for the `api_key`": _code(record.timestamp_ips) or "any",
        "Currencies": ", ".join(record.currencies) or "none yet",
        "Networks": ", ".join(record.networks) or "none yet",
        "Selling (off-ramp)": "yes" if record.off_ramp else "no",
        "Own `address` in a session": "allowed" if record.own_address else "ignored",
        "Sites that may frame the widget": _code(record.widget_origins) or "none",
        "Transaction webhook": _code([record.webhook] if record.webhook else []) or "none",
    }
    for label, value in rows.items():
        yield f"| {label} | {value} |"
    if secrets is not None:
        yield from ("", "Secrets, shown this once:", "", "```")
        yield from (f"{secret:15}{getattr(secrets, secret)}" for secret in _SECRETS)
        yield "```"
    if lacks:
        yield from ("", "Not ready yet:", "")
        # What follows is for the operator, who knows the commands.
        yield from (f"- {_escaped(lack.partition(';')[0])}" for lack in lacks)


def _calls(urls: Mapping[Environment, str]) -> Iterator[str]:
    url = urls[Environment.SANDBOX]
    yield from (
        "",
        "## First calls",
        "",
        _WHERE_FROM,
        "",
        "```sh",
        f"curl '{url}/v1/timestamp' \\",
        '  -H "Authorization: Bearer $PROOF_API_KEY" \\',
        "  -H 'content-type: application/json' \\",
        f'  -d \'{{"sha256":["{"ab" * 32}"]}}\'',
        f"curl '{url}/v1/timestamp/{'ab' * 32}' -H \"Authorization: Bearer $PROOF_API_KEY\"",
        f"curl '{url}/widget/session' \\",
        '  -H "Authorization: Bearer $PROOF_CLIENT_TOKEN" \\',
        "  -H 'content-type: application/json' \\",
        f"  -d '{_FIRST_SESSION}'",
        "```",
        "",
        f"From there to a purchase and a sale: {urls[Environment.PRODUCTION]}/docs/integration",
        "",
        f"Everything else: {urls[Environment.PRODUCTION]}/docs/",
    )


def _code(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text.replace('|', '%7C').replace('`', '%60')}`" for text in texts)


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in text)
