"""Members of parsed JSON: each has one type and a bound, or the proof is refused."""

import re
from binascii import unhexlify
from collections.abc import Callable, Sequence
from typing import Any, Final

from proof.verify.errors import HexError, MemberError, quoted

MAX_TEXT_CHARS: Final = 1024
_HASH_BYTES: Final = 32
_HEX_DIGITS: Final = b"0123456789abcdef"
_hex_hash = re.compile(r"[0-9a-f]{64}").fullmatch


def members(value: object, name: str) -> dict[str, object]:
    """`value` if it is an object. Raises MemberError."""
    if type(value) is not dict:
        raise MemberError(f"{name} is missing or not an object")
    return value


def text(owner: dict[str, object], name: str, owner_name: str) -> str:
    """A text of 1 to 1,024 characters. Raises MemberError."""
    value = owner.get(name)
    if type(value) is not str or not 0 < len(value) <= MAX_TEXT_CHARS:
        raise MemberError(f"{owner_name}.{name} is not text of 1 to {MAX_TEXT_CHARS} characters")
    return value


def integer(owner: dict[str, object], name: str, owner_name: str, largest: int) -> int:
    """A whole number from 0 to `largest`. Raises MemberError."""
    value = owner.get(name)
    if type(value) is not int or not 0 <= value <= largest:  # a bool is no number here
        raise MemberError(f"{owner_name}.{name} is not a whole number from 0 to {largest}")
    return value


def hex_bytes(value: object, name: str, least: int, most: int) -> bytes:
    """`least` to `most` bytes written in lower-case hex. Raises MemberError or HexError."""
    if type(value) is not str:
        raise MemberError(f"{name} is missing or not text")
    if not 2 * least <= len(value) <= 2 * most:
        length = f"{least}" if least == most else f"{least} to {most}"
        raise HexError(f"{name} is not {length} bytes in hex")
    digits = value.encode("ascii", "replace")
    if len(digits) % 2 or digits.translate(None, _HEX_DIGITS):
        raise HexError(f"{name} is {quoted(value)}, not lower-case hex digits in pairs")
    return bytes.fromhex(value)


def hex_list(value: object, name: str, most: int, least_bytes: int, most_bytes: int) -> list[bytes]:
    """At most `most` items as `hex_bytes` reads them. Raises MemberError or HexError."""
    if type(value) is not list or len(value) > most:
        raise MemberError(f"{name} is not a list of at most {most} items")
    return [hex_bytes(item, name, least_bytes, most_bytes) for item in value]


def hex_hash(value: object, name: str) -> str:
    """`value` if it is 64 lower-case hex digits, else HexError naming the member `name`."""
    if type(value) is not str:
        raise HexError(f"{name} is missing or not text")
    if not _hex_hash(value):
        raise HexError(f"{name} is {quoted(value)}, not 64 lower-case hex digits")
    return value


def join_hashes(hashes: Sequence[Any], name: Callable[[int], str]) -> bytes:
    """Hashes side by side in ASCII, each of them 64 lower-case hex digits, else HexError.

    `name` gives the name of the hash at a place.
    """
    # All at once: a proof has sixty of them, and this takes a quarter of the time of one after the other.
    if set(map(type, hashes)) <= {str} and set(map(len, hashes)) <= {2 * _HASH_BYTES}:
        digits = "".join(hashes).encode("ascii", "replace")
        if not digits.translate(None, _HEX_DIGITS):
            return digits
    # One of them is wrong; going through them says which.
    return "".join(hex_hash(each, name(at)) for at, each in enumerate(hashes)).encode("ascii")


def text_list(value: object, name: str, most: int) -> list[str]:
    """A list of at most `most` texts of any length. Raises MemberError."""
    if type(value) is not list or len(value) > most or not set(map(type, value)) <= {str}:
        raise MemberError(f"{name} is not a list of at most {most} texts")
    return value


def decode_hashes(hashes: Sequence[str], name: str) -> list[bytes]:
    """Hashes of 32 bytes from lower-case hex. Raises HexError."""
    raw = unhexlify(join_hashes(hashes, lambda at: f"{name}[{at}]"))
    return [raw[at : at + _HASH_BYTES] for at in range(0, len(raw), _HASH_BYTES)]
