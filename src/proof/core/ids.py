"""Identifiers and tokens: random, base62, with a checksum where a person may paste them wrongly."""

import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(number: int, width: int) -> str:
    """`number` in base62, left-padded with `0` to `width` characters."""
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(width, "0")


def random_base62(bits: int) -> str:
    """A uniformly random identifier of `bits` bits, at a width that holds every value."""
    return base62(secrets.randbits(bits), base62_width(bits))


def base62_width(bits: int) -> int:
    """How many base62 characters hold any number of `bits` bits."""
    width = 0
    while 62**width < 1 << bits:
        width += 1
    return width


def checksum(text: str) -> str:
    """CRC-32 of the ASCII text as six base62 characters; finds typing errors, proves nothing."""
    return base62(zlib.crc32(text.encode("ascii")), 6)
