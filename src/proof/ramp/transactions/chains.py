"""A transaction's chain of records as it is handed out, and what its holder can disclose of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from proof.core.errors import NotFoundError, ProofError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.records import salt_of

FIELDS = ("address", "user_email", "partner_user_id", "partner_reference")
"""What records hash of a person: each has the member `<field>_sha256`."""

# One statement, so that what is said of the person and the records are of one moment.
_CHAIN = """
SELECT owner.partner_id, owner.environment, person.erased_at IS NOT NULL AS erased,
    ARRAY(SELECT record FROM ramp_records WHERE transaction_id = $2 ORDER BY sequence) AS records
FROM ramp_transactions transaction JOIN ramp_users person ON person.id = transaction.user_id
JOIN partner_environments owner ON owner.id = transaction.partner_environment_id
WHERE transaction.id = $2 AND transaction.partner_environment_id = $1
"""


# The person is locked, so that nothing is disclosed of somebody who is being erased.
_PERSON = """
SELECT person.erased_at IS NOT NULL AS erased, person.partner_user_id, session.partner_reference
FROM ramp_transactions transaction JOIN ramp_users person ON person.id = transaction.user_id
LEFT JOIN ramp_sessions session ON session.transaction_id = transaction.id
WHERE transaction.id = $1 FOR KEY SHARE OF person
"""


class ErasedError(ProofError):
    """The person was erased: values and salts are gone."""


@dataclass(frozen=True, slots=True)
class RecordChain:
    """The records of a transaction, from the first to the newest, as bytes. `erased`: whose values and
    salts are gone."""

    transaction_id: UUID
    partner_id: str
    environment: Environment
    erased: bool
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What shows a record's member `<name>_sha256` to be of `value`: SHA-256 over the 32-byte salt and the
    value's UTF-8."""

    sequence: int
    name: str
    salt: bytes = field(repr=False)
    value: str = field(repr=False)


async def read_chain(
    connection: Connection, partner_environment_id: int, transaction_id: UUID
) -> RecordChain:
    """Raises NotFoundError for a transaction that this partner environment does not have, and for one
    without a record."""
    row = await connection.fetchrow(_CHAIN, partner_environment_id, transaction_id)
    if row is None:
        raise NotFoundError(f"there is no transaction {transaction_id}")
    if not row["records"]:
        raise NotFoundError(
            f"transaction {transaction_id} has no record yet; its first comes with its first status"
        )
    return RecordChain(
        transaction_id,
        row["partner_id"],
        Environment(row["environment"]),
        row["erased"],
        tuple(row["records"]),
    )


async def owner_of(connection: Connection, transaction_id: UUID) -> int:
    """Whose partner environment's it is. Raises NotFoundError."""
    found: int | None = await connection.fetchval(
        "SELECT partner_environment_id FROM ramp_transactions WHERE id = $1", transaction_id
    )
    if found is None:
        raise NotFoundError(f"there is no transaction {transaction_id}; `proof tx list` shows them")
    return found


async def disclose(
    tx: Connection, vault: Vault, chain: RecordChain, names: tuple[str, ...]
) -> list[Disclosure]:
    """What shows these fields of every record that has them, each hash computed anew.

    Raises ErasedError, NotFoundError for a field that no record has, SealError.
    """
    values, secret = await _values(tx, vault, chain.transaction_id)
    found = [
        _disclosure(record, name, values[name], secret)
        for record in map(msgspec.json.decode, chain.records)
        for name in names
        if record.get(f"{name}_sha256")
    ]
    for name in names:
        if not any(each.name == name for each in found):
            raise NotFoundError(f"no record of {chain.transaction_id} has a {name}")
    return found


async def _values(
    tx: Connection, vault: Vault, transaction_id: UUID
) -> tuple[Mapping[str, str], bytes]:
    person: Any = await tx.fetchrow(_PERSON, transaction_id)
    kept = await personal.read(tx, vault, transaction_id)
    opened = await personal.read_for_records(tx, vault, [transaction_id])
    secret = opened.get(transaction_id, {}).get(Kind.SALT)
    if person["erased"] or secret is None:
        raise ErasedError(
            f"nobody can disclose a field of {transaction_id}: the person was erased, and with the values"
            " the salts are gone"
        )
    values = {
        "address": kept.get(Kind.ADDRESS, ""),
        "user_email": kept.get(Kind.EMAIL, ""),
        "partner_user_id": person["partner_user_id"],
        "partner_reference": person["partner_reference"] or "",
    }
    return values, secret


def _disclosure(record: Any, name: str, value: str, secret: bytes) -> Disclosure:
    salt = salt_of(secret, record["sequence"], name, record["version"])
    if sha256(salt + value.encode()).hexdigest() != record[f"{name}_sha256"]:
        raise ProofError(
            f"record {record['sequence']} of {record['merchant_transaction_id']} is of another {name} than"
            " the one that is kept; nothing was disclosed"
        )
    return Disclosure(record["sequence"], name, salt, value)
