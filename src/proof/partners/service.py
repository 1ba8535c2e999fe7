"""Onboarding partners, and the secrets their webhooks are signed with."""

import re
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from proof.core.errors import InvalidInputError
from proof.core.ids import random_base62
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners import queries
from proof.partners.audit import Actor, record
from proof.partners.tokens import new_token
from proof.partners.types import (
    CredentialKind,
    Environment,
    IssuedEnvironment,
    NewPartner,
    OnboardedPartner,
)

_WEBHOOK_SECRET_BYTES = 32
_NAME_MAX = 200
_EMAIL_MAX = 254
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
# RFC 6454 section 6.2, in ASCII: no user, path, query or fragment.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-_\[\]:]+")


async def add_partner(
    tx: Connection, vault: Vault, new: NewPartner, actor: Actor
) -> OnboardedPartner:
    """Onboard a partner with both its environments, in the caller's transaction.

    Raises InvalidInputError before anything is written. The secrets in the answer exist nowhere else.
    """
    _check(new)
    partner_id = f"ptr_{random_base62(72)}"
    await queries.insert_partner(tx, partner_id, new)
    issued = [
        await _add_environment(tx, vault, partner_id, environment, new)
        for environment in Environment
    ]
    details = {
        "name": new.name,
        "contact_email": new.contact_email,
        "off_ramp": new.off_ramp,
        "production_networks": list(map(str, new.production_networks)),
        "sandbox_networks": list(map(str, new.sandbox_networks)),
        "timestamp_networks": list(map(str, new.timestamp_networks)),
        "widget_origins": list(new.widget_origins),
    }
    await record(tx, actor, "partner.add", partner_id, after=details)
    return OnboardedPartner(partner_id, tuple(issued))


async def announce_base_urls(tx: Connection, urls: Mapping[Environment, str]) -> None:
    """Remember where each environment is served, for what is handed to partners."""
    for environment, url in urls.items():
        await queries.put_base_url(tx, environment, url)


async def base_urls(connection: Connection) -> dict[Environment, str]:
    """Where each environment was last served; empty before the first start."""
    return await queries.base_urls(connection)


async def webhook_secrets(
    connection: Connection, vault: Vault, partner_environment_id: int
) -> Sequence[bytes]:
    """The live webhook secrets of an environment, raw, the newest first."""
    rows = await queries.live_webhook_secrets(connection, partner_environment_id)
    return [vault.open(sealed, _secret_identity(secret_id)) for secret_id, sealed in rows]


async def _add_environment(
    tx: Connection, vault: Vault, partner_id: str, environment: Environment, new: NewPartner
) -> IssuedEnvironment:
    widget_id = f"wdg_{random_base62(96)}"
    identity = await queries.insert_environment(tx, partner_id, environment, widget_id)
    tokens = {}
    for kind in CredentialKind:
        token = new_token(environment)
        await queries.insert_credential(tx, identity, kind, token.key_id, token.sha256)
        tokens[kind] = token.text
    backend = {
        Environment.PRODUCTION: new.production_networks,
        Environment.SANDBOX: new.sandbox_networks,
    }[environment]
    await queries.insert_networks(tx, identity, CredentialKind.CLIENT_TOKEN, backend)
    await queries.insert_networks(tx, identity, CredentialKind.API_KEY, new.timestamp_networks)
    await queries.insert_widget_origins(tx, identity, new.widget_origins)
    return IssuedEnvironment(
        partner_environment_id=identity,
        environment=environment,
        widget_id=widget_id,
        client_token=tokens[CredentialKind.CLIENT_TOKEN],
        api_key=tokens[CredentialKind.API_KEY],
        webhook_secret=await _add_webhook_secret(tx, vault, identity),
    )


async def _add_webhook_secret(tx: Connection, vault: Vault, partner_environment_id: int) -> str:
    secret, secret_id = secrets.token_bytes(_WEBHOOK_SECRET_BYTES), uuid4()
    sealed = vault.seal(secret, _secret_identity(secret_id))
    await queries.insert_webhook_secret(tx, secret_id, partner_environment_id, sealed)
    # The notation of Standard Webhooks 1.0.0.
    return "whsec_" + b64encode(secret).decode()


def _secret_identity(secret_id: UUID) -> str:
    return f"webhook secret {secret_id}"


def _check(new: NewPartner) -> None:
    if not new.name.strip() or len(new.name) > _NAME_MAX or not new.name.isprintable():
        raise InvalidInputError(f"name: 1 to {_NAME_MAX} printable characters are required")
    email = new.contact_email
    if not _EMAIL.fullmatch(email) or len(email) > _EMAIL_MAX or not email.isprintable():
        raise InvalidInputError(f"email: {email!r} is not an e-mail address")
    if not new.production_networks:
        raise InvalidInputError("ip: at least one production address or network is required")
    for origin in new.widget_origins:
        _check_origin(origin)


def _check_origin(origin: str) -> None:
    if not _ORIGIN.fullmatch(origin) or not _has_host(origin):
        raise InvalidInputError(
            f"widget-origin: {origin!r} is not an origin like https://shop.example"
        )


def _has_host(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
