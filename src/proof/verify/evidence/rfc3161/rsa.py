"""RSASSA-PKCS1-v1_5 signature verification (RFC 8017, 8.2.2).

The encoded message that must come out is built and compared whole. Nothing of what came out is parsed,
which is where forgeries with small exponents have got in (CVE-2006-4339).
"""

from typing import Final

MIN_BITS: Final = 2048

MAX_BITS: Final = 8192
"""Bounds the work; no authority uses more."""


_MAX_EXPONENT: Final = 2**32

_MIN_PADDING: Final = 8


# DigestInfo up to the digest itself (RFC 8017, 9.2, note 1), by hashlib's name.
_PREFIXES: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


def usable(modulus: int, exponent: int) -> bool:
    """Whether a public key is within the bounds, and not one that lets everything pass."""
    return (
        MIN_BITS <= modulus.bit_length() <= MAX_BITS
        and modulus % 2 == 1
        and 2 < exponent < _MAX_EXPONENT
        and exponent % 2 == 1
    )


def verify(modulus: int, exponent: int, algorithm: str, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's over a digest made by `algorithm` (sha256, sha384, sha512).

    False for whatever is malformed, a key that is not `usable` included.
    """
    if not usable(modulus, exponent):
        return False
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    info = _PREFIXES[algorithm] + digest
    padding = b"\xff" * (size - len(info) - 3)
    assert len(padding) >= _MIN_PADDING
    expected = b"\x00\x01" + padding + b"\x00" + info
    return pow(number, exponent, modulus).to_bytes(size, "big") == expected
