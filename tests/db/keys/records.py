"""Sealed records of every table, under an old key and a new one."""

import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.audit_chain import SYSTEM
from proof.partners.keys.session_signing import ensure_key
from proof.partners.types import Environment
from proof.receipts import keys as receipt_keys
from proof.timestamps.anchors.log.service import ensure_log

OLD_KEY, NEW_KEY = bytes([1]) * 32, bytes([2]) * 32
OLD, NEW, BOTH = Vault([OLD_KEY]), Vault([NEW_KEY]), Vault([NEW_KEY, OLD_KEY])
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def add_webhook_secrets(database: Database, count: int) -> None:
    async with database.transaction() as tx:
        for _ in range(count):
            key = uuid4()
            await tx.execute(
                "INSERT INTO webhook_secrets (id, partner_environment_id, sealed)"
                " VALUES ($1, $2, $3)",
                key,
                SYSTEM.id,
                OLD.seal(secrets.token_bytes(32), f"webhook secret {key}"),
            )


async def add_one_of_each(database: Database) -> int:
    """Records of every sealed column, as the product makes them; how many."""
    for environment in Environment:
        await ensure_log(database, OLD, environment, f"test.example/{environment}")
        async with database.transaction() as tx:
            await ensure_key(tx, OLD, environment, Actor("test"), NOW)
            await receipt_keys.ensure_key(tx, OLD, environment, Actor("test"), NOW)
    await add_webhook_secrets(database, 3)
    return 2 * 3 + 2 + 2 + 3


async def add_viewed_handover(database: Database) -> None:
    """A handover whose secrets are gone: nothing is sealed there any more."""
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO handovers (token_sha256, partner_id, created_at, expires_at, viewed_at)"
            " VALUES ($1, $2, $3, $3, $3)",
            sha256(b"viewed").digest(),
            SYSTEM.partner_id,
            NOW,
        )


async def fetch(database: Database, query: str, *values: Any) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch(query, *values)
