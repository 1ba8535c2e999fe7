"""OpenTimestamps files: what is in them, read and written.

    Timestamp(msg) : ( FF item )* item        item = 00 attestation | op Timestamp(op(msg))
    attestation    : 8-byte tag, varbytes payload
    .ots file      : magic, version 1, op of the file hash, digest, Timestamp(digest)

Every operation is applied while it is read. Unknown attestations are kept as they are; an unknown
operation makes what follows it unreadable. Source: the calendar contract, "Wire format", as python-
opentimestamps 0.4.5 implements it.
"""

import re
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Final

from proof.verify.errors import (
    OtsArgumentError,
    OtsAttestationError,
    OtsDepthError,
    OtsMagicError,
    OtsNumberError,
    OtsOperationError,
    OtsTooLargeError,
    OtsTrailingError,
    OtsTruncatedError,
)
from proof.verify.evidence.ethereum.keccak import keccak_256
from proof.verify.evidence.ots.ripemd160 import ripemd160

MAGIC: Final = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"

BITCOIN_TAG: Final = bytes.fromhex("0588960d73d71901")

PENDING_TAG: Final = bytes.fromhex("83dfe30d2ef90c8e")


SHA1, RIPEMD160, SHA256, KECCAK256 = 0x02, 0x03, 0x08, 0x67

APPEND, PREPEND, REVERSE, HEXLIFY = 0xF0, 0xF1, 0xF2, 0xF3

FILE_HASHES: Final = {
    SHA1: ("sha1", 20),
    RIPEMD160: ("ripemd160", 20),
    SHA256: ("sha256", 32),
    KECCAK256: ("keccak256", 32),
}
"""Names and digest lengths of the operations that a file can be hashed with."""


MAX_BYTES: Final = 1024 * 1024

MAX_MESSAGE_BYTES: Final = 4_096

MAX_DEPTH: Final = 256

MAX_OPERATIONS: Final = 20_000

MAX_ATTESTATIONS: Final = 1_000

MAX_SLOW_BYTES: Final = 64 * 1024
"""What RIPEMD-160 and Keccak, which are pure Python here, may hash of one file, each message filled up to
whole blocks: a fifth of a second."""


_SLOW_BLOCK_BYTES: Final = {RIPEMD160: 64, KECCAK256: 136}

_MAX_PAYLOAD_BYTES: Final = 8_192

_MAX_URI_CHARS: Final = 1_000

_MAX_NUMBER_BYTES: Final = 9  # of 7 bits each

_TAG_BYTES: Final = 8

_ATTESTATION, _MORE = 0x00, 0xFF

_VERSION: Final = 1

_MAX_HEIGHT: Final = 2**31 - 1

_uri = re.compile(rb"[A-Za-z0-9\-._/:]{1,1000}").fullmatch


Operation = tuple[int, bytes]
"""An operation's byte and its argument, which only `APPEND` and `PREPEND` have."""


@dataclass(frozen=True, slots=True, order=True)
class Attestation:
    """Who attests to a message: an 8-byte tag, and a payload that the tag gives its meaning.

    `height` is the block of a Bitcoin attestation, `uri` the calendar of a pending one, else None.
    """

    tag: bytes
    payload: bytes
    height: int | None = None
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A message, who attests to it, and the branches that lead on from it."""

    message: bytes
    attestations: tuple[Attestation, ...]
    branches: tuple["Branch", ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Operations that follow one another without a fork, and the timestamp at their end."""

    operations: tuple[Operation, ...]
    end: Timestamp


@dataclass(frozen=True, slots=True)
class OtsFile:
    """`operation`: one of `FILE_HASHES`, by which the file's digest, the first message, was made."""

    operation: int
    timestamp: Timestamp


def parse_ots(raw: bytes) -> OtsFile:
    """Read a whole `.ots` file and recompute every operation in it.

    Raises OtsTooLargeError, OtsMagicError, OtsTruncatedError, OtsTrailingError, OtsNumberError,
    OtsOperationError, OtsArgumentError, OtsDepthError, OtsAttestationError. What attestations say is
    not checked.
    """
    if not raw.startswith(MAGIC) or raw[len(MAGIC) : len(MAGIC) + 1] not in (b"", b"\x01"):
        raise OtsMagicError("the file does not begin as an .ots file of version 1 does")
    operation = raw[len(MAGIC) + 1 : len(MAGIC) + 2]
    if not operation:
        raise OtsTruncatedError("the .ots file ends before its digest")
    if operation[0] not in FILE_HASHES:
        raise OtsOperationError(f"a file is not hashed with operation {operation.hex()}")
    begin = len(MAGIC) + 2
    end = begin + FILE_HASHES[operation[0]][1]
    if len(raw) < end:
        raise OtsTruncatedError("the .ots file ends before its digest")
    return OtsFile(operation[0], parse_timestamp(raw, raw[begin:end], end))


def parse_timestamp(raw: bytes, message: bytes, at: int = 0) -> Timestamp:
    """Read the timestamp of `message` that fills `raw` from `at` to its end, as a calendar sends it.

    Raises as `parse_ots` does.
    """
    if len(raw) > MAX_BYTES:
        raise OtsTooLargeError(f"the timestamp is longer than {MAX_BYTES} bytes")
    reader = _Reader(raw, at)
    try:
        timestamp = reader.timestamp(message, 0)
    except IndexError:
        raise OtsTruncatedError("the timestamp ends before it is complete") from None
    if reader.at != len(raw):
        raise OtsTrailingError("something follows the end of the timestamp")
    return timestamp


def apply_operation(operation: Operation, message: bytes) -> bytes:
    """What an operation makes of a message. Raises OtsArgumentError when that is too long or empty."""
    tag, argument = operation
    match tag:
        case 0x08:
            return sha256(message).digest()
        case 0xF0:
            result = message + argument
        case 0xF1:
            result = argument + message
        case 0xF3:
            result = message.hex().encode("ascii")
        case 0xF2:
            result = message[::-1]
        case 0x02:
            return sha1(message, usedforsecurity=False).digest()
        case 0x03:
            return ripemd160(message)
        case 0x67:
            return keccak_256(message)
        case _:
            raise OtsOperationError(f"there is no operation {tag:02x}")
    if not 0 < len(result) <= MAX_MESSAGE_BYTES:
        raise OtsArgumentError(f"an operation's result is not 1 to {MAX_MESSAGE_BYTES} bytes long")
    return result


class _Reader:
    """A position in the bytes, and what may still be spent. Reading past the end is an IndexError."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw = raw
        self.at = at
        self._operations = MAX_OPERATIONS
        self._attestations = MAX_ATTESTATIONS
        self._slow_bytes = MAX_SLOW_BYTES

    def timestamp(self, message: bytes, depth: int) -> Timestamp:
        attestations: list[Attestation] = []
        branches: list[Branch] = []
        more = True
        while more:
            tag = self._byte()
            if more := tag == _MORE:
                tag = self._byte()
            if tag == _ATTESTATION:
                attestations.append(self._attestation(message))
            else:
                branches.append(self._branch(tag, message, depth))
        return Timestamp(message, tuple(attestations), tuple(branches))

    def _branch(self, tag: int, message: bytes, depth: int) -> Branch:
        raw = self._raw
        operations: list[Operation] = []
        room = MAX_DEPTH - depth
        while tag not in (_ATTESTATION, _MORE) or not operations:
            # Before each one: turning 4 KiB round a million times would take half a minute.
            if len(operations) == room:
                raise OtsDepthError(f"more than {MAX_DEPTH} operations follow one another")
            # The commonest operations first and in line: a proof has a hundred of them.
            if tag == SHA256:
                operations.append((tag, b""))
                message = sha256(message).digest()
            elif tag in (APPEND, PREPEND):
                argument = self._varbytes(1, MAX_MESSAGE_BYTES)
                operations.append((tag, argument))
                message = message + argument if tag == APPEND else argument + message
                if len(message) > MAX_MESSAGE_BYTES:
                    raise OtsArgumentError(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")
            else:
                self._spend(tag, message)
                operations.append((tag, b""))
                message = apply_operation((tag, b""), message)
            tag = raw[self.at]
            self.at += 1
        self.at -= 1  # an attestation or a fork belongs to the timestamp after these operations
        self._operations -= len(operations)
        if self._operations < 0:
            raise OtsTooLargeError(f"the timestamp has more than {MAX_OPERATIONS} operations")
        return Branch(tuple(operations), self.timestamp(message, depth + len(operations)))

    def _spend(self, tag: int, message: bytes) -> None:
        if tag in _SLOW_BLOCK_BYTES:
            # The shortest message takes a whole block.
            block = _SLOW_BLOCK_BYTES[tag]
            self._slow_bytes -= len(message) // block * block + block
            if self._slow_bytes < 0:
                raise OtsTooLargeError(
                    f"RIPEMD-160 and Keccak are to hash more than {MAX_SLOW_BYTES} bytes"
                )

    def _attestation(self, message: bytes) -> Attestation:
        self._attestations -= 1
        if self._attestations < 0:
            raise OtsTooLargeError(f"the timestamp has more than {MAX_ATTESTATIONS} attestations")
        tag = self._take(_TAG_BYTES)
        payload = self._varbytes(0, _MAX_PAYLOAD_BYTES)
        if tag == BITCOIN_TAG:
            return bitcoin_attestation(_only_number(payload), message)
        if tag == PENDING_TAG:
            return pending_attestation(_only_uri(payload))
        return Attestation(tag, payload)

    def _byte(self) -> int:
        self.at += 1
        return self._raw[self.at - 1]

    def _take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self._raw):
            raise OtsTruncatedError("the timestamp ends before it is complete")
        return self._raw[self.at - size : self.at]

    def _varbytes(self, least: int, most: int) -> bytes:
        size = self._raw[self.at]
        if size < 0x80:
            self.at += 1
        else:
            size, self.at = read_number(self._raw, self.at)
        if not least <= size <= most:
            raise OtsArgumentError(f"a length is {size}, not {least} to {most}")
        return self._take(size)


def bitcoin_attestation(height: int, message: bytes) -> Attestation:
    """That `message` is the Merkle root of the block at `height`. Raises OtsAttestationError."""
    if height > _MAX_HEIGHT:
        raise OtsAttestationError("a Bitcoin attestation names an impossible height")
    if len(message) != 32:
        raise OtsAttestationError("a Bitcoin attestation is about something that is no Merkle root")
    return Attestation(BITCOIN_TAG, number_bytes(height), height=height)


def pending_attestation(uri: str) -> Attestation:
    """That the calendar at `uri` has promised more. Raises OtsAttestationError."""
    raw = uri.encode("utf-8", "replace")
    if not _uri(raw):
        raise OtsAttestationError(
            f"a calendar's address is not 1 to {_MAX_URI_CHARS} of the characters allowed in it"
        )
    return Attestation(PENDING_TAG, number_bytes(len(raw)) + raw, uri=uri)


def read_number(raw: bytes, at: int) -> tuple[int, int]:
    """A LEB128 number and where it ends. Raises OtsNumberError; IndexError at the end of `raw`."""
    value = 0
    for count in range(_MAX_NUMBER_BYTES):
        byte = raw[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if byte == 0 and count:
                raise OtsNumberError("a number is written in more bytes than it needs")
            return value, at + count + 1
    raise OtsNumberError(f"a number has more than {_MAX_NUMBER_BYTES} bytes")


def number_bytes(value: int) -> bytes:
    """A number from 0 on in LEB128."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _only_number(payload: bytes) -> int:
    try:
        value, end = read_number(payload, 0)
    except IndexError:
        raise OtsAttestationError("a Bitcoin attestation names no height") from None
    if end != len(payload):
        raise OtsAttestationError("a Bitcoin attestation holds more than a height")
    return value


def _only_uri(payload: bytes) -> str:
    try:
        size, begin = read_number(payload, 0)
    except IndexError:
        raise OtsAttestationError("a pending attestation names no calendar") from None
    if begin + size != len(payload):
        raise OtsAttestationError("a pending attestation holds something else than an address")
    return payload[begin:].decode("utf-8", "replace")
