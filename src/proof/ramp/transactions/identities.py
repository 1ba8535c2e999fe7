"""What a record says of a transaction beside its state, and the chain it is appended to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.amounts import amount_text
from proof.ramp.personal import Kind, SealedValue
from proof.ramp.records import Chain, Opening
from proof.ramp.transactions import queries
from proof.ramp.transactions.events import Identity
from proof.ramp.transactions.queries import LockedTransaction


async def identities(
    tx: Connection,
    vault: Vault,
    transactions: Sequence[LockedTransaction],
    names: Mapping[int, tuple[str, Environment]],
    now: datetime,
) -> dict[UUID, Identity]:
    """One for each transaction, whose chain begins with its opening. A secret is never made for a user who
    was erased: the hashes are empty then. Raises SealError."""
    opened = await personal.read_for_records(
        tx, vault, [transaction.id for transaction in transactions]
    )
    made: dict[UUID, Identity] = {}
    new: list[tuple[SealedValue, int, UUID]] = []
    for transaction in transactions:
        values = opened.get(transaction.id, {})
        secret = values.get(Kind.SALT)
        if secret is None and not transaction.erased:
            secret, sealed = personal.new_secret(vault)
            new.append((sealed, transaction.user_id, transaction.id))
        name = names[transaction.partner_environment_id]
        address = values.get(Kind.ADDRESS, b"").decode()
        made[transaction.id] = _identity(transaction, name, secret, address)
    if new:
        await personal.save(tx, new, now)
    for transaction in transactions:
        if not transaction.chain_length:
            await _record_opening(tx, vault, transaction, made[transaction.id], now)
    return made


def _identity(
    transaction: LockedTransaction,
    name: tuple[str, Environment],
    secret: bytes | None,
    address: str,
) -> Identity:
    partner_id, environment = name
    return Identity(
        transaction.id,
        transaction.partner_environment_id,
        transaction.type,
        transaction.currency,
        transaction.network,
        transaction.created_at,
        transaction.offset,
        Chain(
            transaction.id,
            partner_id,
            environment,
            secret,
            transaction.chain_length,
            transaction.chain_sha256,
        ),
        transaction.partner_user_id,
        transaction.partner_reference,
        address,
    )


async def _record_opening(
    tx: Connection, vault: Vault, transaction: LockedTransaction, identity: Identity, now: datetime
) -> None:
    """A transaction that was opened before openings were recorded has its record made with its first
    change."""
    known = await personal.read(tx, vault, transaction.id)
    opening = Opening(
        type=transaction.type.value,
        currency=transaction.currency,
        network=transaction.network,
        crypto_amount=amount_text(transaction.state.crypto_amount),
        fiat_currency=await queries.session_fiat_currency(tx, transaction.id),
        partner_user_id=identity.partner_user_id,
        partner_reference=identity.partner_reference,
        user_email=known.get(Kind.EMAIL, ""),
        address=identity.address,
    )
    opening.append_to(identity.chain, transaction.created_at, transaction.recorded_at(now))
