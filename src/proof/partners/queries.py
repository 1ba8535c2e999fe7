"""The SQL of partners."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

from proof.db import Connection
from proof.partners.types import (
    Credential,
    CredentialKind,
    Environment,
    Limits,
    Network,
    NewPartner,
    PartnerEnvironment,
)

_ENVIRONMENTS = """
SELECT e.id, e.partner_id, e.environment, e.limit_timestamps, e.limit_proofs, e.limit_status,
       p.status = 'suspended' AS suspended,
       ARRAY(SELECT text(network) FROM allowlist a
             WHERE a.partner_environment_id = e.id AND kind = 'client_token') AS client_token,
       ARRAY(SELECT text(network) FROM allowlist a
             WHERE a.partner_environment_id = e.id AND kind = 'api_key') AS api_key
FROM partner_environments e JOIN partners p ON p.id = e.partner_id
"""

_CREDENTIALS = """
SELECT key_id, partner_environment_id, kind, token_sha256, expires_at, revoked_at
FROM credentials WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


async def directory_version(connection: Connection) -> int:
    version: int = await connection.fetchval("SELECT version FROM directory_version")
    return version


async def all_credentials(connection: Connection) -> list[Credential]:
    """Every live credential with its owner, from one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        owners = {row["id"]: _environment(row) for row in await connection.fetch(_ENVIRONMENTS)}
        rows = await connection.fetch(_CREDENTIALS)
    return [
        Credential(
            key_id=row["key_id"],
            kind=CredentialKind(row["kind"]),
            token_sha256=row["token_sha256"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
            owner=owners[row["partner_environment_id"]],
        )
        for row in rows
    ]


def _environment(row: Any) -> PartnerEnvironment:
    return PartnerEnvironment(
        id=row["id"],
        partner_id=row["partner_id"],
        environment=Environment(row["environment"]),
        limits=Limits(row["limit_timestamps"], row["limit_proofs"], row["limit_status"]),
        suspended=row["suspended"],
        allowlists={kind: tuple(map(ip_network, row[kind])) for kind in CredentialKind},
    )


async def insert_partner(tx: Connection, partner_id: str, new: NewPartner) -> None:
    await tx.execute(
        "INSERT INTO partners (id, name, contact_email, off_ramp) VALUES ($1, $2, $3, $4)",
        partner_id,
        new.name,
        new.contact_email,
        new.off_ramp,
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


async def insert_networks(
    tx: Connection, environment_id: int, kind: CredentialKind, networks: tuple[Network, ...]
) -> None:
    await tx.execute(
        "INSERT INTO allowlist SELECT $1, $2, unnest($3::text[])::cidr ON CONFLICT DO NOTHING",
        environment_id,
        kind,
        list(map(str, networks)),
    )


async def insert_widget_origins(
    tx: Connection, environment_id: int, origins: tuple[str, ...]
) -> None:
    await tx.execute(
        "INSERT INTO widget_origins SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
        environment_id,
        list(origins),
    )


async def insert_webhook_secret(
    tx: Connection, secret_id: UUID, environment_id: int, sealed: bytes
) -> None:
    await tx.execute(
        "INSERT INTO webhook_secrets (id, partner_environment_id, sealed) VALUES ($1, $2, $3)",
        secret_id,
        environment_id,
        sealed,
    )


async def live_webhook_secrets(
    connection: Connection, environment_id: int
) -> list[tuple[UUID, bytes]]:
    rows = await connection.fetch(
        "SELECT id, sealed FROM webhook_secrets"
        " WHERE partner_environment_id = $1 AND (retired_at IS NULL OR retired_at > now())"
        " ORDER BY created_at DESC, id",
        environment_id,
    )
    return [(row["id"], row["sealed"]) for row in rows]


async def put_base_url(tx: Connection, environment: Environment, url: str) -> None:
    await tx.execute(
        "INSERT INTO base_urls (environment, url) VALUES ($1, $2)"
        " ON CONFLICT (environment) DO UPDATE SET url = excluded.url",
        environment,
        url,
    )


async def base_urls(connection: Connection) -> dict[Environment, str]:
    rows = await connection.fetch("SELECT environment, url FROM base_urls")
    return {Environment(row["environment"]): row["url"] for row in rows}
