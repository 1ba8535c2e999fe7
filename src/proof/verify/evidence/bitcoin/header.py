"""One Bitcoin block header: 80 bytes, and the work in them.

Source: the Bitcoin developer reference, "Block Headers" and "Target nBits".
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proof.verify.errors import HeaderFormatError, LowDifficultyError, ProofOfWorkError
from proof.verify.evidence.bitcoin.networks import Network

HEADER_BYTES: Final = 80

MIN_LONE_WORK: Final = 1 << 76
"""Hashes that a main-network header must have taken to be worth a word without its chain.

The difficulty floor, 1.76e13 as difficulty is usually written: passed for good in October 2020, an eighth
of what the network did by the end of 2025, when making one such block cost about a third of a bitcoin.
"""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields used here; hashes are 32 bytes in the order SHA-256 gives them."""

    hash: bytes
    merkle_root: bytes
    time_s: int
    work: int


def double_sha256(data: bytes) -> bytes:
    """SHA-256 of SHA-256, 32 bytes."""
    return sha256(sha256(data).digest()).digest()


def target_from_bits(bits: int) -> int:
    """The target that four bytes stand for. Raises HeaderFormatError for zero, negative or too large."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
    if bits & 0x800000 or target == 0 or target >> 256:
        raise HeaderFormatError(f"the header's target {bits:08x} is no number from 1 to 2^256 - 1")
    return target


def bits_from_target(target: int) -> int:
    """The shortest form of a target, rounded down as the network rounds it."""
    size = (target.bit_length() + 7) // 8
    mantissa = target >> 8 * (size - 3) if size > 3 else target << 8 * (3 - size)
    if mantissa & 0x800000:
        mantissa, size = mantissa >> 8, size + 1
    return size << 24 | mantissa


def work_of(target: int) -> int:
    """How many hashes it takes on average to meet a target."""
    return (1 << 256) // (target + 1)


def parse_header(raw: bytes, network: Network) -> Header:
    """Read a header and check its work against its own target and its network's easiest one.

    Raises HeaderFormatError, LowDifficultyError, ProofOfWorkError. Not checked: what it follows, its
    time, its version, and whether its target is the right one at its height.
    """
    if len(raw) != HEADER_BYTES:
        raise HeaderFormatError(f"a Bitcoin header has {HEADER_BYTES} bytes, not {len(raw)}")
    target = target_from_bits(int.from_bytes(raw[72:76], "little"))
    if target > target_from_bits(network.easiest_bits):
        raise LowDifficultyError(
            f"the header's target is easier than {network.name} has ever allowed"
        )
    digest = double_sha256(raw)
    if int.from_bytes(digest, "little") > target:
        raise ProofOfWorkError("the header's hash is above its target: the work was not done")
    return Header(digest, raw[36:68], int.from_bytes(raw[68:72], "little"), work_of(target))
