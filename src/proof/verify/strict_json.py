"""JSON as a proof may be written: one meaning only, bounded before it is parsed.

RFC 8259, narrowed: UTF-8 without a byte order mark, no member named twice, whole numbers only.
"""

import json
import re
from typing import Final, NoReturn

from proof.verify.errors import (
    DuplicateMemberError,
    EncodingError,
    JsonError,
    NestingError,
    NumberError,
    PayloadTooLargeError,
    quoted,
)

MAX_BYTES: Final = 1024 * 1024
MAX_NESTING: Final = 100
"""A branch of 64 levels needs 66; the parser itself recurses, so this comes before it."""

_NOT_OPENING: Final = bytes(each for each in range(256) if each not in b"{[")
_tokens = re.compile(rb'\\.|["{}\[\]]', re.DOTALL).finditer


def parse_json(raw: bytes) -> object:
    """Parse `raw` into dicts, lists, strings, ints, booleans and None.

    Raises PayloadTooLargeError (over 1 MiB), EncodingError, NestingError (deeper than 100),
    JsonError, DuplicateMemberError, and NumberError for fractions, exponents, NaN, infinities and
    more digits than Python converts (4,300 unless set otherwise), wherever they stand.
    """
    if len(raw) > MAX_BYTES:
        raise PayloadTooLargeError(f"the proof is longer than {MAX_BYTES} bytes")
    _check_nesting(raw)
    try:
        return _decode(raw.decode())
    except UnicodeDecodeError as error:
        raise EncodingError("the proof is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"the proof is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # Python's own guard against quadratic conversion
        raise NumberError("a number has too many digits") from error


def _check_nesting(raw: bytes) -> None:
    # Fewer opening brackets than levels cannot nest too deep: true of every ordinary proof.
    if len(raw.translate(None, _NOT_OPENING)) <= MAX_NESTING:
        return
    depth, in_string = 0, False
    for token in _tokens(raw):
        mark = token.group()
        if mark == b'"':
            in_string = not in_string
        elif not in_string and mark in b"{[":
            depth += 1
            if depth > MAX_NESTING:
                raise NestingError(f"the proof nests deeper than {MAX_NESTING} levels")
        elif not in_string and mark in b"}]":
            depth -= 1


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
