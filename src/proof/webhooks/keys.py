"""A partner environment's Ed25519 keys for `v1a` signatures (Standard Webhooks 1.0.0)."""

import base64
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof.core.secrets import Vault
from proof.db import Connection

# What a record of webhook_signing_keys is sealed for; the columns are the table's.
IDENTITY = "webhook signing key {id}"

# Any class of advisory locks nobody else uses.
_ENSURE_LOCK = 0x5748_5349


async def ensure_signing_key(tx: Connection, vault: Vault, partner_environment_id: int) -> None:
    """Make the environment's first key unless it has a live one; two at once make one."""
    await tx.execute("SELECT pg_advisory_xact_lock($1, $2)", _ENSURE_LOCK, partner_environment_id)
    if not await _live(tx, partner_environment_id):
        await add_signing_key(tx, vault, partner_environment_id)


async def add_signing_key(tx: Connection, vault: Vault, partner_environment_id: int) -> UUID:
    """Make another live key; webhooks carry a signature of each. Its id."""
    key_id, private = uuid4(), Ed25519PrivateKey.generate()
    await tx.execute(
        "INSERT INTO webhook_signing_keys (id, partner_environment_id, public_key, sealed)"
        " VALUES ($1, $2, $3, $4)",
        key_id,
        partner_environment_id,
        private.public_key().public_bytes_raw(),
        vault.seal(private.private_bytes_raw(), IDENTITY.format(id=key_id)),
    )
    return key_id


async def retire_signing_key(tx: Connection, key_id: UUID) -> bool:
    """Sign with the key no longer; whether it was live."""
    return bool(
        await tx.fetchval(
            "UPDATE webhook_signing_keys SET retired_at = now()"
            " WHERE id = $1 AND retired_at IS NULL RETURNING true",
            key_id,
        )
    )


async def signing_keys(
    connection: Connection, vault: Vault, partner_environment_id: int
) -> Sequence[Ed25519PrivateKey]:
    """The live keys, the newest first. Raises SealError."""
    return [
        Ed25519PrivateKey.from_private_bytes(
            vault.open(row["sealed"], IDENTITY.format(id=row["id"]))
        )
        for row in await _live(connection, partner_environment_id)
    ]


async def public_keys(connection: Connection, partner_environment_id: int) -> dict[UUID, str]:
    """The live keys by id as a partner is shown them, `whpk_…`, the newest first."""
    return {
        row["id"]: public_key_text(row["public_key"])
        for row in await _live(connection, partner_environment_id)
    }


def public_key_text(raw: bytes) -> str:
    """The notation of Standard Webhooks 1.0.0: `whpk_` and the standard base64 of the 32 bytes."""
    return "whpk_" + base64.b64encode(raw).decode()


async def _live(connection: Connection, partner_environment_id: int) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(
        "SELECT id, public_key, sealed FROM webhook_signing_keys"
        " WHERE partner_environment_id = $1 AND retired_at IS NULL ORDER BY created_at DESC, id",
        partner_environment_id,
    )
    return rows
