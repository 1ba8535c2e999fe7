"""The secrets that a partner environment's webhooks are signed with.

Every live one signs (Standard Webhooks 1.0.0, "Signature scheme": several signatures, one header), so a
receiver that knows the old or the new one verifies while one takes the place of the other. Stopped
anywhere, a rotation happened with its entry in the audit log, or not at all.
"""

import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.access.rotation import GRACE, require_grace
from proof.partners.access.tokens import WEBHOOK_PREFIX
from proof.partners.audit import Actor, audited_time, record
from proof.partners.environments import environment_id, lock_partner
from proof.partners.types import Environment

# The associated data of a sealed record of webhook_secrets, from the table's columns.
IDENTITY = "webhook secret {id}"


_SECRET_BYTES = 32


# The time of the statement and not of the transaction: of two rotations the one that waited is the newer.
_INSERT = """
INSERT INTO webhook_secrets (id, partner_environment_id, sealed, created_at)
VALUES ($1, $2, $3, clock_timestamp())
"""


_LIVE = """
SELECT id, sealed, created_at, retired_at AS ends_at FROM webhook_secrets
WHERE partner_environment_id = $1 AND (retired_at IS NULL OR retired_at > now())
ORDER BY retired_at IS NULL DESC, created_at DESC, id
"""


# A rotation can bring the end of an older secret nearer, and never puts it off.
_RETIRE = """
UPDATE webhook_secrets SET retired_at = least(retired_at, $3)
WHERE partner_environment_id = $1 AND id <> $2 AND (retired_at IS NULL OR retired_at > now())
RETURNING id, retired_at
"""


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A live secret; `ends_at` is None for the newest. `text` is its `whsec_` form, empty when it was
    not asked for."""

    id: UUID
    created_at: datetime
    ends_at: datetime | None
    text: str = field(default="", repr=False)


async def webhook_secrets(
    connection: Connection, vault: Vault, partner_environment_id: int
) -> Sequence[bytes]:
    """The live webhook secrets of an environment, raw, the newest first. Raises SealError."""
    rows = await connection.fetch(_LIVE, partner_environment_id)
    return [vault.open(row["sealed"], IDENTITY.format(id=row["id"])) for row in rows]


def webhook_secret_text(secret: bytes) -> str:
    """A webhook secret as partners are shown it, in the notation of Standard Webhooks 1.0.0."""
    return WEBHOOK_PREFIX + b64encode(secret).decode()


async def add_webhook_secret(
    tx: Connection, vault: Vault, partner_environment_id: int
) -> tuple[UUID, str]:
    """Make another live secret; its id and its `whsec_` form. The caller records it."""
    secret, secret_id = secrets.token_bytes(_SECRET_BYTES), uuid4()
    sealed = vault.seal(secret, IDENTITY.format(id=secret_id))
    await tx.execute(_INSERT, secret_id, partner_environment_id, sealed)
    return secret_id, webhook_secret_text(secret)


async def rotate_webhook_secret(
    tx: Connection,
    vault: Vault,
    partner_id: str,
    environment: Environment,
    actor: Actor,
    now: datetime,
    grace: timedelta = GRACE,
) -> tuple[WebhookSecret, ...]:
    """Add a new secret; the others sign along until `now` and `grace`. The new one first, with its text;
    then the others and their ends.

    Raises NotFoundError when there is no such partner, InvalidInputError for a grace below 0 or beyond
    LONGEST.
    """
    require_grace(grace)
    await lock_partner(tx, partner_id)
    owner = await environment_id(tx, partner_id, environment)
    secret_id, text = await add_webhook_secret(tx, vault, owner)
    rows = await tx.fetch(_RETIRE, owner, secret_id, now + grace)
    ending = {str(row["id"]): audited_time(row["retired_at"]) for row in rows}
    after = {"id": str(secret_id), "environment": str(environment), "ending": ending}
    await record(tx, actor, "webhook_secret.rotate", partner_id, after=after)
    live = await _live(tx, owner)
    # Without a grace the others have ended, though the database's clock may be a moment behind.
    new = next(secret for secret in live if secret.id == secret_id)
    old = tuple(secret for secret in live if secret.id != secret_id and grace)
    return WebhookSecret(new.id, new.created_at, None, text), *old


async def list_webhook_secrets(
    connection: Connection, partner_id: str, environment: Environment
) -> list[WebhookSecret]:
    """The live secrets without their texts, the newest first. Raises NotFoundError."""
    return await _live(connection, await environment_id(connection, partner_id, environment))


async def show_webhook_secrets(
    tx: Connection, vault: Vault, partner_id: str, environment: Environment, actor: Actor
) -> list[WebhookSecret]:
    """The live secrets with their texts, the newest first; that they were shown is recorded.

    Raises NotFoundError, SealError.
    """
    owner = await environment_id(tx, partner_id, environment)
    live = await _live(tx, owner)
    after = {"environment": str(environment), "ids": [str(secret.id) for secret in live]}
    await record(tx, actor, "webhook_secret.show", partner_id, after=after)
    texts = [webhook_secret_text(raw) for raw in await webhook_secrets(tx, vault, owner)]
    return [
        WebhookSecret(secret.id, secret.created_at, secret.ends_at, text)
        for secret, text in zip(live, texts, strict=True)
    ]


async def _live(connection: Connection, partner_environment_id: int) -> list[WebhookSecret]:
    rows = await connection.fetch(_LIVE, partner_environment_id)
    return [WebhookSecret(row["id"], row["created_at"], row["ends_at"]) for row in rows]
