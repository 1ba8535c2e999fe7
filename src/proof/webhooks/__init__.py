"""Webhooks: events carried to the URLs that partners named. Sees types and bytes, never products."""

from proof.webhooks.breaker import BreakerPolicy
from proof.webhooks.delivery import Deliverer
from proof.webhooks.schedule import Schedule
from proof.webhooks.service import endpoints, fan_out, set_endpoint
from proof.webhooks.signing import KeyRing, SecretRing
from proof.webhooks.types import Change, EndpointNotice, Limits, Notifier

__all__ = [
    "BreakerPolicy",
    "Change",
    "Deliverer",
    "EndpointNotice",
    "KeyRing",
    "Limits",
    "Notifier",
    "Schedule",
    "SecretRing",
    "endpoints",
    "fan_out",
    "set_endpoint",
]
