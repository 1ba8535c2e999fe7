"""Onboarding partners."""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from proof.core.clock import Clock
from proof.core.ids import random_base62
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.access.tokens import new_token
from proof.partners.audit import Actor
from proof.partners.keys.webhook_secrets import add_webhook_secret
from proof.partners.records.changes import Difference, PartnerChange, differences, merged
from proof.partners.records.checks import checked
from proof.partners.records.sandbox import NEW_SANDBOX
from proof.partners.records.service import record_changes, require_narrow, store_environments
from proof.partners.records.types import EnvironmentRecord, PartnerRecord, WebhookTarget
from proof.partners.types import (
    CredentialKind,
    Environment,
    IssuedEnvironment,
    OnboardedPartner,
)


async def insert_partner(
    tx: Connection, partner_id: str, name: str, contact_email: str, created_at: datetime
) -> None:
    await tx.execute(
        "INSERT INTO partners (id, name, contact_email, created_at) VALUES ($1, $2, $3, $4)",
        partner_id,
        name,
        contact_email,
        created_at,
    )


async def insert_environment(
    tx: Connection, partner_id: str, environment: Environment, widget_id: str
) -> int:
    identity: int = await tx.fetchval(
        "INSERT INTO partner_environments (partner_id, environment, widget_id)"
        " VALUES ($1, $2, $3) RETURNING id",
        partner_id,
        environment,
        widget_id,
    )
    return identity


async def insert_credential(
    tx: Connection, environment_id: int, kind: CredentialKind, key_id: str, sha256: bytes
) -> None:
    await tx.execute(
        "INSERT INTO credentials (key_id, partner_environment_id, kind, token_sha256)"
        " VALUES ($1, $2, $3, $4)",
        key_id,
        environment_id,
        kind,
        sha256,
    )


async def put_base_url(tx: Connection, environment: Environment, url: str) -> None:
    await tx.execute(
        "INSERT INTO base_urls (environment, url) VALUES ($1, $2)"
        " ON CONFLICT (environment) DO UPDATE SET url = excluded.url",
        environment,
        url,
    )


async def _select_base_urls(connection: Connection) -> dict[Environment, str]:
    rows = await connection.fetch("SELECT environment, url FROM base_urls")
    return {Environment(row["environment"]): row["url"] for row in rows}


async def add_partner(
    tx: Connection,
    vault: Vault,
    webhooks: WebhookTarget,
    wanted: PartnerChange,
    actor: Actor,
    clock: Clock,
    *,
    force: bool = False,
) -> OnboardedPartner:
    """Onboard a partner with both its environments, in the caller's transaction.

    `wanted` names the partner, its contact address and its production addresses; whatever else it names
    is set too. The sandbox begins with test wallets, production with nothing. Raises InvalidInputError
    for a value that is wrong, or for a very wide network without `force`. The secrets in the answer
    exist nowhere else.
    """
    blank = _blank(f"ptr_{random_base62(72)}", clock.now())
    new = checked(merged(blank, wanted))
    wide = require_narrow(blank, new, force=force)
    await insert_partner(tx, new.partner_id, new.name, new.contact_email, new.created_at)
    issued = [
        await _add_environment(tx, vault, new.partner_id, environment)
        for environment in Environment
    ]
    ids = {each.environment: each.partner_environment_id for each in issued}
    # The record is compared with an empty one, so that the sandbox's defaults are written too.
    nothing = replace(blank, sandbox=EnvironmentRecord())
    await store_environments(tx, webhooks, ids, nothing, new)
    entered = [
        Difference(difference.field, None, difference.after)
        for difference in differences(nothing, new)
    ]
    await record_changes(tx, actor, "partner.add", new.partner_id, entered, wide)
    return OnboardedPartner(new.partner_id, tuple(issued))


async def announce_base_urls(tx: Connection, urls: Mapping[Environment, str]) -> None:
    """Remember where each environment is served, for what is handed to partners."""
    for environment, url in urls.items():
        await put_base_url(tx, environment, url)


async def base_urls(connection: Connection) -> dict[Environment, str]:
    """Where each environment was last served; empty before the first start."""
    return await _select_base_urls(connection)


async def _add_environment(
    tx: Connection, vault: Vault, partner_id: str, environment: Environment
) -> IssuedEnvironment:
    widget_id = f"wdg_{random_base62(96)}"
    identity = await insert_environment(tx, partner_id, environment, widget_id)
    tokens = {}
    for kind in CredentialKind:
        token = new_token(environment)
        await insert_credential(tx, identity, kind, token.key_id, token.sha256)
        tokens[kind] = token.text
    _, webhook_secret = await add_webhook_secret(tx, vault, identity)
    return IssuedEnvironment(
        partner_environment_id=identity,
        environment=environment,
        widget_id=widget_id,
        client_token=tokens[CredentialKind.CLIENT_TOKEN],
        api_key=tokens[CredentialKind.API_KEY],
        webhook_secret=webhook_secret,
    )


def _blank(partner_id: str, now: datetime) -> PartnerRecord:
    return PartnerRecord(
        partner_id=partner_id,
        name="",
        contact_email="",
        status="active",
        version=1,
        created_at=now,
        production=EnvironmentRecord(),
        sandbox=NEW_SANDBOX,
    )
