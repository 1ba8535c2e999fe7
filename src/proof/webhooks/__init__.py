"""Webhooks: events carried to the URLs that partners named. Sees types and bytes, never products."""

from proof.webhooks.delivery import Deliverer, SecretRing
from proof.webhooks.schedule import Schedule
from proof.webhooks.service import endpoints, fan_out, set_endpoint
from proof.webhooks.types import Limits

__all__ = [
    "Deliverer",
    "Limits",
    "Schedule",
    "SecretRing",
    "endpoints",
    "fan_out",
    "set_endpoint",
]
