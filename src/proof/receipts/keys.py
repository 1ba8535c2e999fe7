"""The keys that sign receipts and statements: of each environment one that signs, and its former ones.

Anybody who may submit hashes can have an invented record stamped, so a stamp does not show who said it. A
signature does. The private half of a former key is destroyed when another takes its place; its public half
stays, because receipts that were given out are verified with it for as long as anybody keeps them.

Source: c2sp.org/signed-note (type 0x01).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from proof.core.errors import ProofError
from proof.core.note_keys import SigningKey
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.audit import Actor, record
from proof.partners.types import Environment
from proof.timestamps.anchors.log import queries as log_queries
from proof.verify.evidence.log.note import LOG_KEY, VerifierKey, parse_verifier_key, verifier_key

# The associated data of a sealed record of receipt_keys, from the table's columns.
IDENTITY = "receipts key {id} of {environment}"

# The first of the keys of advisory locks that nothing else takes, one for each environment.
_LOCK = 0x5245_4350_0000


class ReceiptKeyError(ProofError):
    """The public half that is served is not that of the key that signs."""


class NoReceiptKeyError(ProofError):
    """The environment has no key that signs: the installation was not prepared, or a key was lost."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as anybody may see it: `text` is its verifier key; when it was made, and when another took its
    place."""

    key_id: UUID
    environment: Environment
    text: str
    created_at: datetime
    retired_at: datetime | None


async def ensure_key(
    tx: Connection, vault: Vault, environment: Environment, actor: Actor, now: datetime
) -> None:
    """Make the environment's first key unless it has one; many may try at once. Its log must be there."""
    await _lock(tx, environment)
    if await _current(tx, environment) is None:
        await _add(tx, vault, environment, actor, now, retired=None)


async def rotate(
    tx: Connection, vault: Vault, environment: Environment, actor: Actor, now: datetime
) -> str:
    """Put a new key in place of the one that signs, whose private half is destroyed; the new one's verifier
    key."""
    await _lock(tx, environment)
    retired = await tx.fetchval(
        "UPDATE receipt_keys SET retired_at = $2, sealed = NULL"
        " WHERE environment = $1 AND retired_at IS NULL RETURNING id",
        environment,
        now,
    )
    return await _add(tx, vault, environment, actor, now, retired=retired)


async def list_keys(connection: Connection) -> list[KeyInfo]:
    """Every key there is: by environment, the one that signs first, then the newest of the former ones."""
    rows = await connection.fetch(
        "SELECT id, environment, name, public_key, created_at, retired_at FROM receipt_keys"
        " ORDER BY environment, retired_at DESC NULLS FIRST"
    )
    return [
        KeyInfo(
            row["id"],
            Environment(row["environment"]),
            verifier_key(row["name"], LOG_KEY, row["public_key"]),
            row["created_at"],
            row["retired_at"],
        )
        for row in rows
    ]


async def verifier_keys(connection: Connection, environment: Environment) -> list[str]:
    """The keys by which a verifier trusts what an environment signed, in text, the one that signs first."""
    return [key.text for key in await list_keys(connection) if key.environment == environment]


class ReceiptKeys:
    """The keys of one process: each is opened once."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._opened: dict[UUID, SigningKey] = {}

    async def signer(self, connection: Connection, environment: Environment) -> SigningKey:
        """The key that signs now. Raises NoReceiptKeyError, SealError, ReceiptKeyError."""
        row = await _current(connection, environment)
        if row is None:
            raise NoReceiptKeyError(
                f"no receipts key of {environment} signs; make one with `proof keys receipts rotate --env"
                f" {environment}`, and have those who verify fetch the keys anew"
            )
        key = self._opened.get(row["id"])
        if key is None:
            identity = IDENTITY.format(id=row["id"], environment=environment)
            seed = self._vault.open(row["sealed"], identity)
            key = self._opened[row["id"]] = SigningKey.from_seed(row["name"], LOG_KEY, seed)
        if (key.name, key.public.public_key) != (row["name"], row["public_key"]):
            raise ReceiptKeyError(
                f"the public half of the receipts key {row['id']} of {environment} was altered; nothing is"
                " signed by what no verifier knows"
            )
        return key


async def public_keys(connection: Connection, environment: Environment) -> Sequence[VerifierKey]:
    """The same as `verifier_keys`, parsed."""
    return [parse_verifier_key(text) for text in await verifier_keys(connection, environment)]


async def _add(
    tx: Connection,
    vault: Vault,
    environment: Environment,
    actor: Actor,
    now: datetime,
    *,
    retired: UUID | None,
) -> str:
    key_id, origin = uuid4(), (await log_queries.head(tx, environment)).origin
    key = SigningKey.generate(f"{origin}/receipts", LOG_KEY)
    await tx.execute(
        "INSERT INTO receipt_keys (id, environment, name, public_key, sealed, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        key_id,
        environment,
        key.name,
        key.public.public_key,
        vault.seal(key.seed, IDENTITY.format(id=key_id, environment=environment)),
        now,
    )
    before = None if retired is None else {"key_id": str(retired)}
    after = {"key_id": str(key_id), "environment": str(environment), "key": key.text}
    action = "receipt_key.create" if retired is None else "receipt_key.rotate"
    await record(tx, actor, action, before=before, after=after)
    return key.text


async def _current(connection: Connection, environment: Environment) -> Any:
    return await connection.fetchrow(
        "SELECT id, name, public_key, sealed FROM receipt_keys"
        " WHERE environment = $1 AND retired_at IS NULL",
        environment,
    )


async def _lock(tx: Connection, environment: Environment) -> None:
    # One rotation at a time: of two at once the second would not see the key that it has to retire.
    number = _LOCK + list(Environment).index(environment)
    await tx.execute("SELECT pg_advisory_xact_lock($1)", number)
