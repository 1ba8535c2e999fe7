"""Events: what happened, said once, in the transaction that made it happen."""

from proof.events.listening import Listener, notify, waking
from proof.events.outbox import PUBLISHED, RELAYED, publish, relay, rewrite_bodies, waiting
from proof.events.reading import Family, ReadEvent, read_events
from proof.events.stream import Stream
from proof.events.types import Event, RelayedEvent

__all__ = [
    "PUBLISHED",
    "RELAYED",
    "Event",
    "Family",
    "Listener",
    "ReadEvent",
    "RelayedEvent",
    "Stream",
    "notify",
    "publish",
    "read_events",
    "relay",
    "rewrite_bodies",
    "waiting",
    "waking",
]
