"""The SQL of partners."""

from datetime import datetime

from proof.db import Connection
from proof.partners.types import CredentialKind, Environment


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


async def base_urls(connection: Connection) -> dict[Environment, str]:
    rows = await connection.fetch("SELECT environment, url FROM base_urls")
    return {Environment(row["environment"]): row["url"] for row in rows}
