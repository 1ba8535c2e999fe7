"""What a client asks for (RFC 3161, 2.4.1), read strictly."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.hazmat.asn1 import decode_der
from cryptography.x509 import ObjectIdentifier

MAX_REQUEST_BYTES = 4096
_VERSION = 1
_NONCE_BITS = 256

# Digests a client may have signed, with their sizes; weaker ones are refused.
DIGESTS = {
    "2.16.840.1.101.3.4.2.1": 32,  # SHA-256
    "2.16.840.1.101.3.4.2.2": 48,  # SHA-384
    "2.16.840.1.101.3.4.2.3": 64,  # SHA-512
    "2.16.840.1.101.3.4.2.8": 32,  # SHA3-256
    "2.16.840.1.101.3.4.2.9": 48,  # SHA3-384
    "2.16.840.1.101.3.4.2.10": 64,  # SHA3-512
}


class Failure(IntEnum):
    """PKIFailureInfo: the number of the bit (RFC 3161, 2.4.2)."""

    BAD_ALG = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    SYSTEM_FAILURE = 25


class RejectedError(Exception):
    """A request that gets no token; `failure` and the message go into the answer."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _MessageImprint:
    hash_algorithm: _AlgorithmIdentifier
    hashed_message: bytes


@asn1.sequence
class _TimeStampReq:
    version: int
    message_imprint: _MessageImprint
    req_policy: ObjectIdentifier | None
    nonce: int | None
    cert_req: Annotated[bool, asn1.Default(False)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be answered. `policy` is dotted; None leaves the choice to the authority."""

    algorithm: str
    digest: bytes
    has_null: bool
    policy: str | None
    nonce: int | None
    certificates: bool


def parse_request(raw: bytes) -> Request:
    """A DER-encoded TimeStampReq.

    Raises RejectedError: not DER of that shape, another version, a digest that is not offered or has the
    wrong size, a nonce that is absurd, an extension.
    """
    try:
        asked = decode_der(_TimeStampReq, raw)
    except ValueError as error:
        raise RejectedError(
            Failure.BAD_DATA_FORMAT, f"this is not a DER-encoded TimeStampReq: {error}"
        ) from None
    _require(asked)
    imprint = asked.message_imprint
    return Request(
        imprint.hash_algorithm.algorithm.dotted_string,
        imprint.hashed_message,
        imprint.hash_algorithm.parameters is not None,
        asked.req_policy.dotted_string if asked.req_policy is not None else None,
        asked.nonce,
        asked.cert_req,
    )


def _require(asked: _TimeStampReq) -> None:
    if asked.version != _VERSION:
        # It may have ten thousand digits, more than Python writes.
        raise RejectedError(Failure.BAD_REQUEST, "only requests of version 1 are served")
    algorithm = asked.message_imprint.hash_algorithm.algorithm.dotted_string
    size = DIGESTS.get(algorithm)
    if size is None:
        raise RejectedError(Failure.BAD_ALG, f"the digest {algorithm} is not accepted; SHA-256 is")
    if len(asked.message_imprint.hashed_message) != size:
        raise RejectedError(
            Failure.BAD_DATA_FORMAT,
            f"the digest {algorithm} has {size} octets,"
            f" not {len(asked.message_imprint.hashed_message)}",
        )
    if asked.nonce is not None and asked.nonce.bit_length() > _NONCE_BITS:
        raise RejectedError(Failure.BAD_REQUEST, f"the nonce is over {_NONCE_BITS} bits")
    if asked.extensions is not None:
        raise RejectedError(Failure.UNACCEPTED_EXTENSION, "no extension is known here")
