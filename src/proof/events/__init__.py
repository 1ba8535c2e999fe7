"""Events: what happened, said once, in the transaction that made it happen."""

from proof.events.outbox import publish, relay
from proof.events.types import Event, RelayedEvent

__all__ = ["Event", "RelayedEvent", "publish", "relay"]
