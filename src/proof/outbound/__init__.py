"""Outbound: the only way the platform calls addresses that others named.

Everything a partner may point us at goes through `OutboundClient`, which looks at the address
actually dialled, so an answer of DNS that changes between check and dial changes nothing.
"""

from proof.outbound.budget import BudgetConnector
from proof.outbound.client import OutboundClient, OutboundReply
from proof.outbound.errors import (
    ForbiddenAddressError,
    InvalidTargetError,
    OutboundError,
    Reason,
)
from proof.outbound.places import Places, on_behalf_of
from proof.outbound.policy import OutboundPolicy
from proof.outbound.resolver import Resolver

__all__ = [
    "BudgetConnector",
    "ForbiddenAddressError",
    "InvalidTargetError",
    "OutboundClient",
    "OutboundError",
    "OutboundPolicy",
    "OutboundReply",
    "Places",
    "Reason",
    "Resolver",
    "on_behalf_of",
]
