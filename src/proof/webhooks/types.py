"""What a delivery is, from its claim to its outcome."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class State(StrEnum):
    """Where a delivery stands; only a pending one is tried."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one deliverer does at once.

    `per_endpoint` keeps a slow endpoint from taking every slot; `in_flight` stays well under the
    1,024 open files a process usually has. `idle_s` is how long to wait unasked before looking for
    work again.
    """

    in_flight: int = 512
    per_endpoint: int = 16
    relayed: int = 1000
    idle_s: float = 0.2


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery this process may attempt until its lease ends; `attempt` counts from 1."""

    id: int
    attempt: int
    endpoint_id: UUID
    url: str
    partner_environment_id: int
    event_id: UUID
    event_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to. `text` is the HTTP status or a short reason, for the operator.

    `at` is when it was delivered, or when the next attempt is due.
    """

    delivery_id: int
    attempt: int
    state: State
    text: str
    at: datetime
