"""Signatures over webhooks: Standard Webhooks 1.0.0, the timestamp API's own header, and their keys."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof import __version__
from proof.core.errors import ProofError
from proof.core.secrets import Vault
from proof.db import Connection, Database

_USER_AGENT = f"Proof/{__version__}"

# The associated data of a sealed record of webhook_signing_keys, from the table's columns.
IDENTITY = "webhook signing key {id}"

# A class of advisory locks that nothing else takes.
_ENSURE_LOCK = 0x5748_5349
SecretRing = Callable[[Connection, int], Awaitable[Sequence[bytes]]]
"""The live webhook secrets of a partner environment, newest first."""
KeyRing = Callable[[Connection, int], Awaitable[Sequence[Ed25519PrivateKey]]]
"""The live Ed25519 keys of a partner environment, newest first."""

# A process signs with a retired secret or key for no longer than this.
_FRESH_S = 1.0
_log = structlog.get_logger(__name__)


def webhook_id(event_id: UUID) -> str:
    """The `webhook-id` of an event, the same over every attempt and endpoint."""
    return f"msg_{event_id.hex}"


def webhook_headers(
    event_id: UUID,
    timestamp_s: int,
    body: bytes,
    secrets: Sequence[bytes],
    private_keys: Sequence[Ed25519PrivateKey] = (),
) -> dict[str, str]:
    """The three headers of one attempt, made at `timestamp_s` seconds since the Unix epoch.

    One `v1` signature (HMAC-SHA256) for each live secret, in the order given, so that a receiver
    accepts the webhook with the old or the new secret while one replaces the other; then one `v1a`
    (Ed25519) for each private key. Raises ValueError when there is no secret.
    """
    if not secrets:
        raise ValueError("a webhook is signed with at least one secret")
    identifier = webhook_id(event_id)
    signed = b"%s.%d.%s" % (identifier.encode(), timestamp_s, body)
    signatures = [f"v1,{_hmac_base64(secret, signed)}" for secret in secrets]
    signatures += [f"v1a,{base64.b64encode(key.sign(signed)).decode()}" for key in private_keys]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }


def attempt_headers(
    event_id: UUID,
    sequence: int,
    timestamp_s: int,
    body: bytes,
    secrets: Sequence[bytes],
    private_keys: Sequence[Ed25519PrivateKey] = (),
) -> dict[str, str]:
    """Every header of one attempt: those of `webhook_headers`, which see, and our own. `sequence` is the
    event's number among those of its object, from 1."""
    return {
        **webhook_headers(event_id, timestamp_s, body, secrets, private_keys),
        "webhook-sequence": str(sequence),
        "x-signature": x_signature(secrets[0], body),
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
    }


def x_signature(secret: bytes, body: bytes) -> str:
    """The `x-signature` header: lower-case hex HMAC-SHA256 over the bytes sent."""
    return hmac.digest(secret, body, hashlib.sha256).hex()


def _hmac_base64(secret: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


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


@dataclass(frozen=True, slots=True)
class Ring:
    """The live secrets and keys of one partner environment; empty ones could not be opened."""

    secrets: Sequence[bytes] = field(default=(), repr=False)
    keys: Sequence[Ed25519PrivateKey] = field(default=(), repr=False)


class Rings:
    """The rings of the partner environments that have something to be sent."""

    def __init__(self, db: Database, secrets: SecretRing, keys: KeyRing | None) -> None:
        self._db = db
        self._secrets = secrets
        self._keys = keys
        self._rings: dict[int, tuple[float, Ring]] = {}
        self._loading: dict[int, asyncio.Task[Ring]] = {}

    async def load(self, connection: Connection, partner_environment_ids: Iterable[int]) -> None:
        """Have fresh rings of these, forgetting old ones of others."""
        now = time.monotonic()
        self._rings = {
            owner: ring for owner, ring in self._rings.items() if now - ring[0] <= _FRESH_S
        }
        for owner in partner_environment_ids:
            if owner not in self._rings:
                await self._load(connection, owner)

    async def of(self, partner_environment_id: int) -> Ring:
        """The fresh ring. Raises DatabaseUnavailableError."""
        loaded_at, ring = self._rings.get(partner_environment_id, (0.0, Ring()))
        if time.monotonic() - loaded_at <= _FRESH_S:
            return ring
        task = self._loading.get(partner_environment_id)
        if task is None:
            task = asyncio.create_task(self._load_alone(partner_environment_id))
            self._loading[partner_environment_id] = task
        return await asyncio.shield(task)

    async def _load_alone(self, owner: int) -> Ring:
        try:
            async with self._db.connection() as connection:
                return await self._load(connection, owner)
        finally:
            del self._loading[owner]

    async def _load(self, connection: Connection, owner: int) -> Ring:
        """A ring that cannot be opened is empty: it fails its own deliveries, nobody else's."""
        try:
            keys = await self._keys(connection, owner) if self._keys else ()
            ring = Ring(await self._secrets(connection, owner), keys)
        except ProofError as error:
            _log.error(
                "webhook.secrets_unavailable", partner_environment_id=owner, error=error.message
            )
            ring = Ring()
        self._rings[owner] = (time.monotonic(), ring)
        return ring
