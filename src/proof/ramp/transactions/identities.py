"""What an event says of a transaction beside its state: the hashes of personal values among it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.personal import Kind, Salts, SealedValue
from proof.ramp.transactions.events import Identity
from proof.ramp.transactions.queries import LockedTransaction


async def identities(
    tx: Connection,
    vault: Vault,
    transactions: Sequence[LockedTransaction],
    names: Mapping[int, tuple[str, Environment]],
    now: datetime,
) -> dict[UUID, Identity]:
    """One for each transaction. Salts are made with the first event, and never for a user who was erased:
    the hashes are empty then. Raises SealError."""
    opened = await personal.read_for_events(
        tx, vault, [transaction.id for transaction in transactions]
    )
    made: dict[UUID, Identity] = {}
    new: list[tuple[SealedValue, int, UUID]] = []
    for transaction in transactions:
        values = opened.get(transaction.id, {})
        salts = personal.salts_of(values)
        if salts is None and not transaction.erased:
            salts, sealed = personal.new_salts(vault)
            new.append((sealed, transaction.user_id, transaction.id))
        address = values.get(Kind.ADDRESS, b"").decode()
        made[transaction.id] = _identity(
            transaction, names[transaction.partner_environment_id], salts, address
        )
    if new:
        await personal.save(tx, new, now)
    return made


def _identity(
    transaction: LockedTransaction, name: tuple[str, Environment], salts: Salts | None, address: str
) -> Identity:
    person_sha256 = reference_sha256 = address_sha256 = ""
    if salts is not None:
        person_sha256 = personal.salted_sha256(salts.partner_user_id, transaction.partner_user_id)
        if transaction.partner_reference:
            reference_sha256 = personal.salted_sha256(
                salts.partner_reference, transaction.partner_reference
            )
        if address:
            address_sha256 = personal.salted_sha256(salts.address, address)
    return Identity(
        transaction.id,
        transaction.partner_environment_id,
        *name,
        transaction.type,
        transaction.currency,
        transaction.network,
        transaction.created_at,
        transaction.partner_user_id,
        transaction.partner_reference,
        person_sha256,
        reference_sha256,
        address_sha256,
    )
