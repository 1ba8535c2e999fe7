"""The event of a status change: the record that can be proved, and the body a webhook carries.

Both are RFC 8785 bytes, fixed when the change happens. A record names the SHA-256 of the one before it, so
that an object's records are a chain; it holds no personal data, only salted hashes (proof.ramp.personal).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from proof.core.canonical import canonical_json
from proof.events import Event
from proof.partners.types import Environment
from proof.ramp.amounts import amount_text
from proof.ramp.transactions.state import State
from proof.ramp.types import TransactionType
from proof.ramp.wire import fiat_texts, moment_text

EVENT_TYPE = "transaction.updated"
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes of a transaction. The hashes are lower-case hex, empty where the value or its
    salt is not there (any more)."""

    id: UUID
    partner_environment_id: int
    partner_id: str
    environment: Environment
    type: TransactionType
    currency: str
    network: str
    created_at: datetime
    partner_user_id_sha256: str
    address_sha256: str


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One event: `record` and `body` as bytes, the record's SHA-256 for the next one."""

    id: UUID
    transaction_id: UUID
    partner_environment_id: int
    sequence: int
    record: bytes
    body: bytes

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.record).digest()

    def published(self) -> Event:
        """As the outbox takes it."""
        return Event(
            self.partner_environment_id,
            EVENT_TYPE,
            str(self.transaction_id),
            self.body,
            RECORD_VERSION,
            self.id,
        )


def status_event(
    identity: Identity, state: State, previous_sha256: bytes | None, occurred_at: datetime
) -> StatusEvent:
    """The event that `state` is reached. `occurred_at` is when the provider, or we, say it happened."""
    event_id, body = uuid4(), _body(identity, state)
    record = body | {
        "version": RECORD_VERSION,
        "id": str(event_id),
        "partner_id": identity.partner_id,
        "environment": identity.environment.value,
        "sequence": state.event_count,
        "previous_sha256": (previous_sha256 or b"").hex(),
        "payment_method": state.payment_method or "",
        "occurred_at": moment_text(occurred_at),
        "partner_user_id_sha256": identity.partner_user_id_sha256,
        "address_sha256": identity.address_sha256,
    }
    return StatusEvent(
        event_id,
        identity.id,
        identity.partner_environment_id,
        state.event_count,
        canonical_json(record),
        canonical_json(body),
    )


def _body(identity: Identity, state: State) -> dict[str, object]:
    """The ramp API contract, "Partner webhook": strings only, these fields only."""
    fiat_currency, fiat_amount = fiat_texts(state.fiat_currency, state.fiat_amount)
    return {
        "merchant_transaction_id": str(identity.id),
        "type": identity.type.value,
        "status": state.status.value,
        "currency": identity.currency,
        "network": identity.network,
        "crypto_amount": amount_text(state.crypto_amount),
        "fiat_currency": fiat_currency,
        "fiat_amount": fiat_amount,
        "created_at": moment_text(identity.created_at),
        "updated_at": moment_text(state.updated_at),
    }
