"""Outbound: the only way the platform calls addresses that others named.

Everything a partner may point us at goes through `OutboundClient`, which looks at the address
actually dialled, so an answer of DNS that changes between check and dial changes nothing.
"""

from proof.outbound.client import OutboundClient, OutboundReply
from proof.outbound.errors import (
    ForbiddenAddressError,
    InvalidTargetError,
    OutboundError,
    Reason,
)
from proof.outbound.policy import OutboundPolicy

__all__ = [
    "ForbiddenAddressError",
    "InvalidTargetError",
    "OutboundClient",
    "OutboundError",
    "OutboundPolicy",
    "OutboundReply",
    "Reason",
]
