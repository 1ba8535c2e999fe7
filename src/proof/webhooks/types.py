"""What a delivery and an endpoint are, and what becomes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from proof.core.loop import SAFETY_S

TEST_EVENT = "webhook.test"
"""The type of an event that goes to one endpoint alone: its subject is that endpoint's id."""


class DeliveryState(StrEnum):
    """Where a delivery stands; only a pending one is tried."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Waiting(StrEnum):
    """What a pending delivery waits for."""

    DISABLED = "endpoint_disabled"
    BREAKER = "breaker_open"
    ORDER = "earlier_event"
    SCHEDULE = "next_attempt"
    UNDER_WAY = "under_way"
    WORKER = "worker"


class Ordering(StrEnum):
    """Whether an endpoint gets an object's next event only after the one before it has ended."""

    NONE = "none"
    SUBJECT = "subject"


class Subscription(StrEnum):
    """What an endpoint of transactions can ask for, by the `event` of the bodies."""

    STATUS = "transaction.status"
    RECEIPT = "transaction.receipt"
    REFUNDED = "transaction.refunded"


SUBSCRIPTIONS: Mapping[str, Subscription] = {
    "transaction.updated": Subscription.STATUS,
    "transaction.receipt": Subscription.RECEIPT,
    "transaction.refunded": Subscription.REFUNDED,
}
"""By the type of an event what an endpoint must have asked for; events of other types come unasked."""


class Breaker(StrEnum):
    """Whether an endpoint is called: closed is yes, open is by probes only, disabled is no."""

    CLOSED = "closed"
    OPEN = "open"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one deliverer does at once.

    `per_endpoint` attempts at most are in flight to one endpoint, `per_owner` for one partner environment,
    `in_flight` to all. Those that answered last time may go on in `reserve` more places, so that others
    that hang cannot take all; all of it stays well under the 1,024 open files a process usually has. An
    endpoint that answers has up to `ahead` deliveries claimed and waiting, all together about `waiting`:
    that is what makes a claim worth its round trip. `idle_s` is how long to wait unasked before looking
    for work that nobody told of.
    """

    in_flight: int = 512
    per_endpoint: int = 16
    per_owner: int = 32
    reserve: int = 256
    ahead: int = 512
    waiting: int = 4096
    relayed: int = 1000
    idle_s: float = SAFETY_S


class ClaimedDelivery(Struct, frozen=True):
    """A delivery this process may attempt until `lease_end`; `attempt` counts from 1.

    `attempts_before` of them were made before a replay. `ordered_subject` is set when the endpoint
    asked for order. `failing`: nothing has succeeded at the endpoint since an attempt that failed.
    `failed_probes` is None unless this is a probe of an open breaker.
    """

    id: int
    attempt: int
    attempts_before: int
    lease_end: datetime
    endpoint_id: UUID
    ordered_subject: str | None
    url: str
    purpose: str
    ed25519: bool
    partner_environment_id: int
    event_id: UUID
    sequence: int
    body: bytes
    failing: bool = False
    failed_probes: int | None = None


class AttemptOutcome(Struct, frozen=True):
    """What an attempt came to. `text` is the HTTP status or a short reason, for the operator.

    `at` is when it was delivered, or when the next attempt is due; `made_at` when it was made.
    `uncounted` is 1 when the attempt is none of its schedule. `endpoint_id` and `ordered_subject`
    are given when the next delivery of the object waits for this one.
    """

    delivery_id: int
    attempt: int
    state: DeliveryState
    text: str
    at: datetime
    made_at: datetime | None = None
    status: int | None = None
    body: bytes | None = None
    elapsed_ms: int | None = None
    uncounted: int = 0
    endpoint_id: UUID | None = None
    ordered_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the operator and the partner see it."""

    id: UUID
    partner_environment_id: int
    purpose: str
    url: str
    ordering: Ordering
    ed25519: bool
    events: tuple[Subscription, ...]
    breaker: Breaker
    reason: str | None
    opened_at: datetime | None
    probe_at: datetime | None
    failed_probes: int
    disabled_at: datetime | None
    created_at: datetime


class Change(StrEnum):
    """What became of an endpoint."""

    OPENED = "opened"
    DISABLED = "disabled"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class EndpointNotice:
    """A change somebody should know. Names the host; the rest of the URL may hold a token."""

    endpoint_id: UUID
    partner_environment_id: int
    purpose: str
    host: str
    change: Change
    reason: str
    at: datetime


class Notifier(Protocol):
    """Who is told at once of changes, beside those who get mail.

    Called once for each change by the one worker that made it, never again: what fails or is cut off by a
    crash is lost. Mail is not: it is a row written together with the change, see `mailing`.
    """

    async def endpoint_changed(self, notice: EndpointNotice) -> None:
        """Tell it. What it raises is logged and changes nothing."""
        ...
