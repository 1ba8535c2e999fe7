"""What can be wrong with a target, and how a call to one fails."""

from enum import StrEnum

from proof.core.errors import InvalidInputError, OtherSideError


class InvalidTargetError(InvalidInputError):
    """The URL may not be a target; the message says what is wrong and what would be right."""


class ForbiddenAddressError(OtherSideError):
    """A host led to an address or port that the platform does not dial."""


class Reason(StrEnum):
    """Why a call brought no reply; stable, short, kept beside the attempt."""

    DNS = "dns"
    ADDRESS = "refused address"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    TOO_LONG = "reply too long"


class OutboundError(OtherSideError):
    """A call that brought no reply. Names the host, never the rest of the URL or any header."""

    def __init__(self, host: str, reason: Reason) -> None:
        super().__init__(f"no reply from {host}: {reason}")
        self.host = host
        self.reason = reason
