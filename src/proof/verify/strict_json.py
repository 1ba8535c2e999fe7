"""JSON as a proof may be written: one meaning only, bounded before it is parsed.

RFC 8259, narrowed: UTF-8 without a byte order mark, no member named twice, whole numbers only.
"""

import json
import re
from binascii import unhexlify
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from proof.verify.errors import (
    DuplicateMemberError,
    EncodingError,
    HexError,
    JsonError,
    MemberError,
    NestingError,
    NumberError,
    PayloadTooLargeError,
    quoted,
)

MAX_BYTES: Final = 1024 * 1024
MAX_RECEIPT_BYTES: Final = 16 * MAX_BYTES
"""Of a receipt, or a disclosure: a proof and more for each of a transaction's records."""
MAX_NESTING: Final = 100
"""A branch of 64 levels needs 66; the parser itself recurses, so this comes before it."""
_NOT_OPENING: Final = bytes(each for each in range(256) if each not in b"{[")
_NOT_MARKS: Final = bytes(each for each in range(256) if each not in b'{}[]"')
_without_strings = partial(re.compile(rb'"[^"]*"?').sub, b"")
MAX_TEXT_CHARS: Final = 1024
_MAX_EXACT: Final = 2**53 - 1
_HASH_BYTES: Final = 32
_HEX_DIGITS: Final = b"0123456789abcdef"
_hex_hash = re.compile(r"[0-9a-f]{64}").fullmatch


def parse_json(raw: bytes, *, limit: int = MAX_BYTES, what: str = "the proof") -> object:
    """Parse `raw` into dicts, lists, strings, ints, booleans and None.

    `limit`: the most bytes; `what`: what the refusal calls the text. Raises PayloadTooLargeError,
    EncodingError, NestingError (deeper than 100), JsonError, DuplicateMemberError, and NumberError for
    fractions, exponents, NaN, infinities and more digits than Python converts (4,300 unless set
    otherwise), wherever they stand.
    """
    if len(raw) > limit:
        raise PayloadTooLargeError(f"{what} is longer than {limit} bytes")
    _check_nesting(raw, what)
    try:
        return _decode(raw.decode())
    except UnicodeDecodeError as error:
        raise EncodingError(f"{what} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"{what} is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # Python's own guard against quadratic conversion
        raise NumberError("a number has too many digits") from error


def canonical_json(value: object) -> bytes:
    """RFC 8785 bytes of what `parse_json` gave, where every member's name is ASCII.

    Names are then in the same order by code point and by UTF-16 unit. Raises EncodingError for a lone
    surrogate, which JSON can escape and UTF-8 cannot hold; MemberError for a name that is not ASCII; and
    NumberError beyond ±(2^53 - 1), which not every reader keeps exact.
    """
    _check_canonical(value)
    try:
        return _encode(value).encode()
    except UnicodeEncodeError as error:
        raise EncodingError("a text holds half of a surrogate pair") from error


def _check_canonical(value: object) -> None:
    if type(value) is dict:
        for name, member in value.items():
            if not name.isascii():
                raise MemberError(f"the member's name {quoted(name)} is not ASCII")
            _check_canonical(member)
    elif type(value) is list:
        for member in value:
            _check_canonical(member)
    elif type(value) is int and abs(value) > _MAX_EXACT:
        raise NumberError("a number is beyond 2^53 - 1, which not every reader keeps exact")


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def _check_nesting(raw: bytes, what: str) -> None:
    # Fewer opening brackets than levels cannot nest too deep: true of every ordinary proof.
    if len(raw.translate(None, _NOT_OPENING)) <= MAX_NESTING:
        return
    depth = 0
    for mark in _brackets(raw):
        depth += 1 if mark in b"{[" else -1
        if depth > MAX_NESTING:
            raise NestingError(f"{what} nests deeper than {MAX_NESTING} levels")


def _brackets(raw: bytes) -> bytes:
    """Those outside of strings."""
    # A pattern that reads escapes takes 60 bytes of memory for every one, so they go before. An escape is a
    # backslash and what follows it, so pairs of backslashes go before quotes do.
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _without_strings(unescaped.translate(None, _NOT_MARKS))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DuplicateMemberError(f"an object names {quoted(name)} twice")
            seen.add(name)
    return members


def _no_fraction(text: str) -> NoReturn:
    raise NumberError(f"{quoted(text)} is not a whole number")


_decode = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_no_fraction,
    parse_constant=_no_fraction,
).decode


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
