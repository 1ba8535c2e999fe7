"""People's e-mail, wallet and IP addresses: sealed, in one table, and erasable.

No event, log line or idempotency row holds them. A record holds salted hashes of them (`ramp.records`),
and the secret that the salts come from is here as well: once it is erased, nobody can find out what was
hashed by trying.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from proof.core.secrets import Vault
from proof.db import Connection, random_id

# The associated data of a sealed record of ramp_personal, from the table's columns.
IDENTITY = "personal {kind} {id}"

PRUNED_AT_ONCE = 1000

_SECRET_BYTES = 32


_PRUNE = """
DELETE FROM ramp_personal WHERE id IN (
    SELECT id FROM ramp_personal WHERE kind = 'client_ip' AND created_at < $1
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


_OF_TRANSACTION = """
SELECT id, kind, sealed FROM ramp_personal WHERE transaction_id = $1 AND kind <> 'salt'
"""


_OF_RECORDS = """
SELECT id, transaction_id, kind, sealed FROM ramp_personal
WHERE transaction_id = ANY($1::uuid[]) AND kind IN ('address', 'salt')
"""


_OF_SALTS = "SELECT id, kind, sealed FROM ramp_personal WHERE transaction_id = $1 AND kind = 'salt'"


_SAVE = """
INSERT INTO ramp_personal (id, kind, sealed, user_id, transaction_id, created_at)
SELECT *, $6::timestamptz
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bigint[], $5::uuid[])
"""


class Kind(StrEnum):
    """What a personal value is. `salt` is the secret that the salts of a transaction come from."""

    EMAIL = "email"
    ADDRESS = "address"
    CLIENT_IP = "client_ip"
    SALT = "salt"


class SealedValue(NamedTuple):
    """A row of ramp_personal but for its owners; the id is made before the row, because it is sealed in."""

    id: UUID
    kind: Kind
    sealed: bytes


def seal(vault: Vault, kind: Kind, value: str | bytes) -> SealedValue:
    """The value (text as UTF-8) sealed for a new row; whoever calls writes it, with `created_at` in the
    clock's own time, never a sandbox's."""
    row_id = random_id()
    secret = value.encode() if isinstance(value, str) else value
    return SealedValue(row_id, kind, vault.seal(secret, IDENTITY.format(kind=kind, id=row_id)))


async def save(
    tx: Connection, values: Sequence[tuple[SealedValue, int, UUID]], created_at: datetime
) -> None:
    """Write sealed values, each with the user and the transaction it belongs to."""
    rows = [(*sealed, user_id, transaction_id) for sealed, user_id, transaction_id in values]
    await tx.execute(_SAVE, *map(list, zip(*rows, strict=True)), created_at)


async def read(connection: Connection, vault: Vault, transaction_id: UUID) -> Mapping[Kind, str]:
    """The e-mail, address and client IP of a transaction, as far as they are still there.

    Raises SealError.
    """
    rows = await connection.fetch(_OF_TRANSACTION, transaction_id)
    return {Kind(row["kind"]): _open(vault, row).decode() for row in rows}


async def read_for_records(
    connection: Connection, vault: Vault, transaction_ids: Sequence[UUID]
) -> Mapping[UUID, Mapping[Kind, bytes]]:
    """The addresses and secrets of transactions, as far as they are there. Raises SealError."""
    rows = await connection.fetch(_OF_RECORDS, transaction_ids)
    opened: dict[UUID, dict[Kind, bytes]] = {}
    for row in rows:
        opened.setdefault(row["transaction_id"], {})[Kind(row["kind"])] = _open(vault, row)
    return opened


def new_secret(vault: Vault) -> tuple[bytes, SealedValue]:
    """A random secret of a transaction's salts, and the row to write it as."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    return secret, seal(vault, Kind.SALT, secret)


async def secret_of(connection: Connection, vault: Vault, transaction_id: UUID) -> bytes | None:
    """The secret of a transaction; None once it is erased. Raises SealError."""
    row = await connection.fetchrow(_OF_SALTS, transaction_id)
    return None if row is None else _open(vault, row)


async def prune_client_ips(tx: Connection, before: datetime, limit: int = PRUNED_AT_ONCE) -> int:
    """Delete at most `limit` client IPs written before that moment; how many."""
    status = await tx.execute(_PRUNE, before, limit)
    return int(status.split()[-1])


async def erase(tx: Connection, transaction_ids: Sequence[UUID]) -> int:
    """Delete every personal value of a user's transactions, the secret included; how many."""
    status = await tx.execute(
        "DELETE FROM ramp_personal WHERE transaction_id = ANY($1::uuid[])", transaction_ids
    )
    return int(status.split()[-1])


def _open(vault: Vault, row: Any) -> bytes:
    return vault.open(row["sealed"], IDENTITY.format(kind=row["kind"], id=row["id"]))
