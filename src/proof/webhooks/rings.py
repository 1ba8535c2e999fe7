"""What webhooks are signed with, opened once a second at most."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof.core.errors import ProofError
from proof.db import Connection, Database

SecretRing = Callable[[Connection, int], Awaitable[Sequence[bytes]]]
"""The live webhook secrets of a partner environment, newest first."""

KeyRing = Callable[[Connection, int], Awaitable[Sequence[Ed25519PrivateKey]]]
"""The live Ed25519 keys of a partner environment, newest first."""

# A rotated or retired secret is used no longer than this.
_FRESH_S = 1.0

_log = structlog.get_logger(__name__)


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
        self._rings = {owner: one for owner, one in self._rings.items() if now - one[0] <= _FRESH_S}
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
                "webhook secrets unavailable", partner_environment_id=owner, error=error.message
            )
            ring = Ring()
        self._rings[owner] = (time.monotonic(), ring)
        return ring
