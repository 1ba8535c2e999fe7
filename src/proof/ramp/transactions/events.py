"""The event of a status change: the record that can be proved, and the body a webhook carries.

Both are RFC 8785 bytes, fixed when the change happens. The record stands in its transaction's chain right
after the record of what caused it, where a callback or an operator did (proof.ramp.records).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple
from uuid import UUID

import msgspec

from proof.core.canonical import canonical_json
from proof.core.clock import moment_text
from proof.events import Event
from proof.ramp.providers.callbacks import StoredCallback
from proof.ramp.records import Chain, Record, RecordKind
from proof.ramp.transactions.state import TransactionState
from proof.ramp.types import Status, TransactionType
from proof.ramp.wire import money_fields, refund_fields

EVENT_TYPE = "transaction.updated"
# Bodies of version 1 stay as they are: they have only the ten fields of the ramp API contract.
BODY_VERSION = 2
# The `event` of a body; the type in the outbox is another.
_BODY_EVENT = "transaction.status"
# Of refunds it is the same.
REFUND_EVENT = "transaction.refunded"


class CausedBy(StrEnum):
    """What a change came from. `provider` is its answer when we asked."""

    CALLBACK = "callback"
    PROVIDER = "provider"
    OPERATOR = "operator"
    EXPIRY = "expiry"


class Resolution(NamedTuple):
    """An operator's word: the end it brought about or confirmed, who spoke, and why."""

    status: Status
    actor: str
    reason: str


# A callback and a resolution have records of their own.
Cause = StoredCallback | Resolution | CausedBy


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes of a transaction, and its chain. The user's id and the reference are as the
    partner sent them; what is not there (any more) is empty."""

    id: UUID
    partner_environment_id: int
    type: TransactionType
    currency: str
    network: str
    created_at: datetime
    offset: timedelta
    chain: Chain
    partner_user_id: str = field(repr=False)
    partner_reference: str = field(repr=False)
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One event: its record, and its body as bytes."""

    partner_environment_id: int
    record: Record
    body: bytes

    def published(self) -> Event:
        """As the outbox takes it."""
        return Event(
            self.partner_environment_id,
            EVENT_TYPE,
            str(self.record.transaction_id),
            self.body,
            BODY_VERSION,
            self.record.id,
        )


def status_event(
    identity: Identity, state: TransactionState, cause: Cause, recorded_at: datetime
) -> StatusEvent:
    """The event that `state` is reached; its record is appended to the chain."""
    told, chain = _told(identity, state), identity.chain
    record = chain.append(
        RecordKind.STATUS,
        recorded_at,
        told
        | {
            "status_sequence": state.event_count,
            "caused_by": _caused_by(cause).value,
            "partner_user_id_sha256": chain.hashed("partner_user_id", identity.partner_user_id),
            "partner_reference_sha256": chain.hashed(
                "partner_reference", identity.partner_reference
            ),
            "address_sha256": chain.hashed("address", identity.address),
        },
    )
    body = _body(_BODY_EVENT, identity, told, record)
    return StatusEvent(identity.partner_environment_id, record, body)


def refund_event(
    identity: Identity, state: TransactionState, cause: Cause, recorded_at: datetime
) -> Event:
    """The event that `state` tells of another refund than before; its record is appended to the chain."""
    told = _told(identity, state)
    members = refund_fields(partial(getattr, state)) | {
        "fiat_currency": told["fiat_currency"],
        "caused_by": _caused_by(cause).value,
    }
    record = identity.chain.append(RecordKind.REFUND, recorded_at, members)
    return Event(
        identity.partner_environment_id,
        REFUND_EVENT,
        refund_subject(identity.id),
        _body(REFUND_EVENT, identity, told, record),
        BODY_VERSION,
        record.id,
    )


def refund_subject(transaction_id: UUID) -> str:
    """Refunds are an object of their own in the outbox: the events of the transaction itself keep their
    numbers without gaps for endpoints that did not ask for these."""
    return f"{transaction_id}/refund"


def record_cause(identity: Identity, cause: Cause, recorded_at: datetime) -> None:
    """Append the record of what caused the statuses to follow, where it has one of its own."""
    chain = identity.chain
    if isinstance(cause, StoredCallback):
        received = {
            "provider": cause.provider,
            "received_at": moment_text(cause.received_at + identity.offset),
            "body_sha256": chain.hashed("body", cause.body),
        }
        chain.append(RecordKind.CALLBACK, recorded_at, received)
    elif isinstance(cause, Resolution):
        resolved = {
            "status": cause.status.value,
            "actor_sha256": chain.hashed("actor", cause.actor),
            "reason_sha256": chain.hashed("reason", cause.reason),
        }
        chain.append(RecordKind.RESOLUTION, recorded_at, resolved)


def without_person(body: bytes, name: str) -> bytes:
    """A body with the made-up `name` for its user's id and no reference, of either version."""
    told = msgspec.json.decode(body)
    if "partner_user_id" in told:
        told |= {"partner_user_id": name, "partner_reference": ""}
    return canonical_json(told)


def _body(event: str, identity: Identity, told: dict[str, object], record: Record) -> bytes:
    return canonical_json(
        told
        | {
            "event": event,
            "partner_user_id": identity.partner_user_id,
            "partner_reference": identity.partner_reference,
            "record_sha256": record.sha256.hex(),
        }
    )


def _caused_by(cause: Cause) -> CausedBy:
    if isinstance(cause, StoredCallback):
        return CausedBy.CALLBACK
    return CausedBy.OPERATOR if isinstance(cause, Resolution) else cause


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
        **refund_fields(partial(getattr, state)),
    }
