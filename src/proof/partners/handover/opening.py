"""The sheet behind a one-time link, written when the link is opened.

Only the tokens wait behind it, because nothing else could give them: everything else is as it stands then.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Struct

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.access.rotation import list_credentials, rotate
from proof.partners.access.tokens import parse_token
from proof.partners.audit import Actor
from proof.partners.environments import environment_id
from proof.partners.handover.links import open_link
from proof.partners.handover.sheet import (
    EnvironmentCredentials,
    PartnerCredentials,
    integration_sheet,
)
from proof.partners.keys.webhook_secrets import webhook_secret_text, webhook_secrets
from proof.partners.records.service import find_partner
from proof.partners.records.types import PartnerRecord, WebhookTarget
from proof.partners.types import CredentialKind, Environment

_ENDED = "(ended since this link was made; ask the operator for another)"


class Tokens(Struct, frozen=True, kw_only=True):
    """One environment's."""

    client_token: str
    api_key: str

    def __repr__(self) -> str:
        return "Tokens()"


class SealedTokens(Struct, frozen=True, kw_only=True):
    """What a link holds."""

    production: Tokens
    sandbox: Tokens


class MissingParts(Protocol):
    """Says what an environment lacks beside its record, in words. Known above partners."""

    async def __call__(
        self, connection: Connection, partner_id: str
    ) -> Mapping[Environment, Sequence[str]]: ...


def tokens_of(secrets: PartnerCredentials) -> str:
    """What is put behind a link, as JSON."""
    parts = {}
    for environment in Environment:
        credentials: EnvironmentCredentials = getattr(secrets, environment)
        parts[str(environment)] = Tokens(
            client_token=credentials.client_token, api_key=credentials.api_key
        )
    return msgspec.json.encode(SealedTokens(**parts)).decode()


async def open_sheet(
    tx: Connection,
    vault: Vault,
    webhooks: WebhookTarget,
    lacking: MissingParts,
    urls: Mapping[Environment, str],
    token: str,
    now: datetime,
    actor: Actor,
) -> str:
    """The integration sheet as of `now`, with what the link holds; nobody gets it again once this
    transaction is committed. A token that ended since is not shown. Raises HandoverGoneError."""
    link = await open_link(tx, vault, token, now, actor)
    tokens = msgspec.json.decode(link.secrets, type=SealedTokens)
    record = await find_partner(tx, webhooks, link.partner_id)
    listed = await list_credentials(tx, link.partner_id, now)
    ended = {info.key_id for info in listed if info.state in {"revoked", "expired"}}
    parts = {
        str(each): await _credentials(tx, vault, record, each, urls, getattr(tokens, each), ended)
        for each in Environment
    }
    secrets = PartnerCredentials(partner_id=link.partner_id, **parts)
    return integration_sheet(record, urls, secrets, await lacking(tx, link.partner_id))


async def _credentials(
    tx: Connection,
    vault: Vault,
    record: PartnerRecord,
    environment: Environment,
    urls: Mapping[Environment, str],
    tokens: Tokens,
    ended: Collection[str],
) -> EnvironmentCredentials:
    identity = await environment_id(tx, record.partner_id, environment)
    return EnvironmentCredentials(
        base_url=urls[environment],
        client_token=_unless_ended(tokens.client_token, ended),
        api_key=_unless_ended(tokens.api_key, ended),
        widget_id=record.environment(environment).widget_id,
        webhook_secret=webhook_secret_text((await webhook_secrets(tx, vault, identity))[0]),
    )


def _unless_ended(token: str, ended: Collection[str]) -> str:
    parsed = parse_token(token)
    return _ENDED if parsed is not None and parsed.key_id in ended else token


async def renew_credentials(
    tx: Connection,
    vault: Vault,
    record: PartnerRecord,
    urls: Mapping[Environment, str],
    actor: Actor,
    now: datetime,
) -> PartnerCredentials:
    """New tokens of both kinds for both environments; the old ones end as after any rotation.

    The webhook secret stays the newest one there is: it can be read, and its receiver knows no other.
    """
    parts = {
        str(each): await _renewed(tx, vault, record, each, urls[each], actor, now)
        for each in Environment
    }
    return PartnerCredentials(partner_id=record.partner_id, **parts)


async def _renewed(
    tx: Connection,
    vault: Vault,
    record: PartnerRecord,
    environment: Environment,
    base_url: str,
    actor: Actor,
    now: datetime,
) -> EnvironmentCredentials:
    issued = {
        kind: await rotate(tx, record.partner_id, environment, kind, actor, now)
        for kind in CredentialKind
    }
    identity = await environment_id(tx, record.partner_id, environment)
    return EnvironmentCredentials(
        base_url=base_url,
        client_token=issued[CredentialKind.CLIENT_TOKEN].token,
        api_key=issued[CredentialKind.API_KEY].token,
        widget_id=record.environment(environment).widget_id,
        webhook_secret=webhook_secret_text((await webhook_secrets(tx, vault, identity))[0]),
    )
