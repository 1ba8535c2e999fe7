"""The rings of keys that sign the parameters of a widget session: one for each environment.

The newest key signs; every key of the ring verifies, a retired one for longer than the longest session
lives. Whoever keeps a ring in memory may sign with a key that was retired meanwhile, which is why it
verifies longer than that; a ring to verify with is read anew.

Source: ramp API contract, POST /widget/session, "Our signature".
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from proof.core.errors import InvalidInputError
from proof.core.secrets import SealError, Vault
from proof.db import Connection
from proof.partners.audit import Actor, record
from proof.partners.types import Environment

# An init token lives for 1 h and the session it is exchanged for 24 h; the rest allows for clocks that
# differ, for requests under way, and for a process that signs with a ring it read a moment ago.
RETAINED = timedelta(hours=26)

# The associated data of a sealed record of signing_keys, from the table's columns.
IDENTITY = "session signing key {id} of {environment}"

_KEY_BYTES = 64

_PREFIX = "v2:"

# The first of the keys of advisory locks that nothing else takes, one for each environment.
_LOCK = 0x5349_474E_0000


class SignatureError(InvalidInputError):
    """A signature that no live key of the ring has made over these parameters."""


class NoSigningKeyError(LookupError):
    """The environment has no key yet: the installation was not prepared."""


class SessionParameters(NamedTuple):
    """What a session's signature covers. `client_ip` is empty when the partner sent none."""

    address: str
    client_ip: str
    merchant_transaction_id: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as people may see it: when it was made, and when another took its place."""

    key_id: UUID
    environment: Environment
    created_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ring:
    """The live keys of one environment, the newest first."""

    _keys: tuple[bytes, ...] = field(repr=False)
    ids: tuple[UUID, ...] = field(default=(), repr=False)
    _derived: dict[tuple[UUID, bytes], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def derived(self, key_id: UUID, label: bytes) -> bytes:
        """A 32-byte key of its own for another use, from the key of that id: HMAC-SHA256 over the label
        (RFC 5869's expand step for one block). Raises NoSigningKeyError when the ring has no such key."""
        derived = self._derived.get((key_id, label))
        if derived is None:
            if key_id not in self.ids:
                raise NoSigningKeyError(f"the session signing key {key_id} is gone")
            key = self._keys[self.ids.index(key_id)]
            derived = hmac.digest(key, label + b"\x01", "sha256")
            self._derived[key_id, label] = derived
        return derived

    def sign(self, parameters: SessionParameters) -> str:
        """`v2:` and the HMAC-SHA512 under the newest key as 128 hex digits."""
        return _PREFIX + _mac(self._keys[0], parameters).hex()

    def verify(self, parameters: SessionParameters, signature: str) -> None:
        """Raises SignatureError unless a live key made `signature`, in the same time whichever did.

        Not checked: that the session exists or is still open.
        """
        presented = signature.encode(errors="replace")
        found = False
        for key in self._keys:
            expected = (_PREFIX + _mac(key, parameters).hex()).encode()
            found |= hmac.compare_digest(expected, presented)
        if not found:
            raise SignatureError("signature: it was not made here over these parameters")


async def open_ring(
    connection: Connection, vault: Vault, environment: Environment, now: datetime
) -> Ring:
    """The live keys, opened. Raises NoSigningKeyError, or SealError when the vault lacks a key."""
    rows = await connection.fetch(
        "SELECT id, environment, sealed FROM signing_keys"
        " WHERE environment = $1 AND (retired_at IS NULL OR retired_at > $2)"
        " ORDER BY retired_at DESC NULLS FIRST",
        environment,
        now - RETAINED,
    )
    if not rows:
        raise NoSigningKeyError(f"there is no session signing key of {environment}")
    return Ring(
        tuple(vault.open(row["sealed"], IDENTITY.format_map(dict(row))) for row in rows),
        tuple(row["id"] for row in rows),
    )


async def unusable_rings(connection: Connection, vault: Vault, now: datetime) -> list[str]:
    """Why sessions cannot be signed, in words; empty when they can."""
    problems = []
    for environment in Environment:
        try:
            await open_ring(connection, vault, environment, now)
        except (NoSigningKeyError, SealError) as error:
            problems.append(str(error))
    return problems


async def sign(
    connection: Connection,
    vault: Vault,
    environment: Environment,
    parameters: SessionParameters,
    now: datetime,
) -> str:
    """The signature of a session's parameters under the newest key; raises as `open_ring`."""
    return (await open_ring(connection, vault, environment, now)).sign(parameters)


async def verify(
    connection: Connection,
    vault: Vault,
    environment: Environment,
    parameters: SessionParameters,
    signature: str,
    now: datetime,
) -> None:
    """Raises SignatureError unless a live key of the environment made the signature."""
    (await open_ring(connection, vault, environment, now)).verify(parameters, signature)


async def ensure_key(
    tx: Connection, vault: Vault, environment: Environment, actor: Actor, now: datetime
) -> None:
    """Make the environment's first key unless it has one; many may try at once."""
    await _lock(tx, environment)
    if await _newest(tx, environment) is None:
        await _add(tx, vault, environment, actor, now, retired=None)


async def rotate(
    tx: Connection,
    vault: Vault,
    environment: Environment,
    actor: Actor,
    now: datetime,
    *,
    withdraw: bool = False,
) -> UUID:
    """Put a new key in place of the newest, which goes on verifying for `RETAINED`; the new key's id.

    `withdraw` deletes every earlier key of the environment instead: what they signed opens no widget from
    then on.
    """
    await _lock(tx, environment)
    retired = await tx.fetchval(
        "UPDATE signing_keys SET retired_at = $2 WHERE environment = $1 AND retired_at IS NULL"
        " RETURNING id",
        environment,
        now,
    )
    made = await _add(tx, vault, environment, actor, now, retired=retired)
    if withdraw:
        await _delete(tx, actor, "environment = $1 AND retired_at IS NOT NULL", environment)
    return made


async def rotate_due(
    tx: Connection,
    vault: Vault,
    environment: Environment,
    actor: Actor,
    now: datetime,
    max_age: timedelta,
) -> bool:
    """Rotate when the newest key is older than `max_age`; whether it was. Many may try at once."""
    await _lock(tx, environment)
    newest = await _newest(tx, environment)
    if newest is not None and newest > now - max_age:
        return False
    await rotate(tx, vault, environment, actor, now)
    return True


async def delete_expired(tx: Connection, actor: Actor, now: datetime) -> int:
    """Delete keys that were retired `RETAINED` ago or earlier; how many."""
    return await _delete(tx, actor, "retired_at <= $1", now - RETAINED)


async def list_keys(connection: Connection) -> list[KeyInfo]:
    """Every key there is, the newest of each environment first."""
    rows = await connection.fetch(
        "SELECT id, environment, created_at, retired_at FROM signing_keys"
        " ORDER BY environment, retired_at DESC NULLS FIRST"
    )
    return [
        KeyInfo(row["id"], Environment(row["environment"]), row["created_at"], row["retired_at"])
        for row in rows
    ]


async def _add(
    tx: Connection,
    vault: Vault,
    environment: Environment,
    actor: Actor,
    now: datetime,
    *,
    retired: UUID | None,
) -> UUID:
    key_id = uuid4()
    identity = IDENTITY.format(id=key_id, environment=environment)
    await tx.execute(
        "INSERT INTO signing_keys (id, environment, sealed, created_at) VALUES ($1, $2, $3, $4)",
        key_id,
        environment,
        vault.seal(secrets.token_bytes(_KEY_BYTES), identity),
        now,
    )
    before = None if retired is None else {"key_id": str(retired)}
    after = {"key_id": str(key_id), "environment": str(environment)}
    action = "signing_key.create" if retired is None else "signing_key.rotate"
    await record(tx, actor, action, before=before, after=after)
    return key_id


async def _delete(tx: Connection, actor: Actor, condition: str, value: object) -> int:
    rows = await tx.fetch(
        f"DELETE FROM signing_keys WHERE {condition} RETURNING id, environment", value
    )
    for row in rows:
        before = {"key_id": str(row["id"]), "environment": row["environment"]}
        await record(tx, actor, "signing_key.delete", before=before)
    return len(rows)


async def _newest(tx: Connection, environment: Environment) -> datetime | None:
    created_at: datetime | None = await tx.fetchval(
        "SELECT created_at FROM signing_keys WHERE environment = $1 AND retired_at IS NULL",
        environment,
    )
    return created_at


async def _lock(tx: Connection, environment: Environment) -> None:
    # One rotation at a time: of two at once the second would not see the key that it has to retire.
    number = _LOCK + list(Environment).index(environment)
    await tx.execute("SELECT pg_advisory_xact_lock($1)", number)


def _mac(key: bytes, parameters: SessionParameters) -> bytes:
    # Each part follows its length in four bytes, big-endian, so that no two triples have the same bytes.
    parts = [part.encode() for part in parameters]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, message, "sha512")
