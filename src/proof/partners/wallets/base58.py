"""Base58Check: a payload and the first four bytes of its double SHA-256, in base 58.

Source: Bitcoin Core `src/base58.cpp`; Tron uses the same alphabet and checksum.
"""

import hashlib

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_CHECK_BYTES = 4
# Decoding takes quadratic time; no address comes near this.
_MAX_CHARACTERS = 64


class Base58Error(ValueError):
    """Not Base58Check; the text says why."""


def decode_check(text: str) -> bytes:
    """The payload, version byte included. Raises Base58Error."""
    if not text or len(text) > _MAX_CHARACTERS:
        raise Base58Error(f"it has {len(text)} characters")
    number = 0
    for character in text:
        if character not in _VALUES:
            raise Base58Error(f"{character!r} is not a character of Base58")
        number = number * 58 + _VALUES[character]
    zeros = len(text) - len(text.lstrip("1"))
    decoded = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    payload, check = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if len(decoded) <= _CHECK_BYTES or _checksum(payload) != check:
        raise Base58Error("its checksum does not hold; a character is wrong or missing")
    return payload


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:_CHECK_BYTES]
