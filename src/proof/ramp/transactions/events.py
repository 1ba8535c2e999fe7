"""The event of a status change: the record that can be proved, and the body a webhook carries.

Both are RFC 8785 bytes, fixed when the change happens. A record names the SHA-256 of the one before it, so
that an object's records are a chain; it holds no personal data, only salted hashes (proof.ramp.personal).
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import msgspec

from proof.core.canonical import canonical_json
from proof.core.clock import moment_text
from proof.events import Event
from proof.partners.types import Environment
from proof.ramp.transactions.state import TransactionState
from proof.ramp.types import TransactionType
from proof.ramp.wire import NO_REFUND, money_fields

EVENT_TYPE = "transaction.updated"
# The version of records and bodies. Those of version 1 stay as they are: beside the ten fields of the ramp
# API contract they have only `payment_method` and `occurred_at`, and the latter is a time of the
# provider's.
RECORD_VERSION = 2
# The `event` of a body; the types of the outbox are others.
_BODY_EVENT = "transaction.status"


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes of a transaction. The user's id and the reference are as the partner sent them;
    the hashes are lower-case hex, empty where the value or its salt is not there (any more)."""

    id: UUID
    partner_environment_id: int
    partner_id: str
    environment: Environment
    type: TransactionType
    currency: str
    network: str
    created_at: datetime
    partner_user_id: str = field(repr=False)
    partner_reference: str = field(repr=False)
    partner_user_id_sha256: str
    partner_reference_sha256: str
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
    identity: Identity, state: TransactionState, previous_sha256: bytes | None
) -> StatusEvent:
    """The event that `state` is reached."""
    event_id, told = uuid4(), _told(identity, state)
    record = canonical_json(
        told
        | {
            "version": RECORD_VERSION,
            "id": str(event_id),
            "partner_id": identity.partner_id,
            "environment": identity.environment.value,
            "sequence": state.event_count,
            "previous_sha256": (previous_sha256 or b"").hex(),
            "partner_user_id_sha256": identity.partner_user_id_sha256,
            "partner_reference_sha256": identity.partner_reference_sha256,
            "address_sha256": identity.address_sha256,
        }
    )
    body = told | {
        "event": _BODY_EVENT,
        "partner_user_id": identity.partner_user_id,
        "partner_reference": identity.partner_reference,
        "record_sha256": hashlib.sha256(record).hexdigest(),
    }
    return StatusEvent(
        event_id,
        identity.id,
        identity.partner_environment_id,
        state.event_count,
        record,
        canonical_json(body),
    )


def without_person(body: bytes, name: str) -> bytes:
    """A body with the made-up `name` for its user's id and no reference, of either version."""
    told = msgspec.json.decode(body)
    if "partner_user_id" in told:
        told |= {"partner_user_id": name, "partner_reference": ""}
    return canonical_json(told)


def _told(identity: Identity, state: TransactionState) -> dict[str, object]:
    """What record and body both say: strings only."""
    return {
        "merchant_transaction_id": str(identity.id),
        "type": identity.type.value,
        "status": state.status.value,
        "currency": identity.currency,
        "network": identity.network,
        "created_at": moment_text(identity.created_at),
        **money_fields(partial(getattr, state)),
        **NO_REFUND,
    }
