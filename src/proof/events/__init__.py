"""Events: what happened, said once, in the transaction that made it happen."""

from proof.events.outbox import publish, relay
from proof.events.reading import Family, ReadEvent, read_events
from proof.events.types import Event, RelayedEvent

__all__ = ["Event", "Family", "ReadEvent", "RelayedEvent", "publish", "read_events", "relay"]
