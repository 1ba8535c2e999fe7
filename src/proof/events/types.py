"""What an event is to those who carry it: a type, a version and bytes."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object of one partner environment.

    `body` is the RFC 8785 bytes a receiver gets, fixed from the first moment on. `subject` names the
    object, so that a receiver can order what concerns it. `id` is the same over all deliveries.
    """

    partner_environment_id: int
    type: str
    subject: str
    body: bytes
    version: int = 1
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class RelayedEvent:
    """An event with its place in the order every reader sees.

    `sequence` is its number among the events of its object, from 1 and without gaps.
    """

    cursor: int
    event: Event
    sequence: int
