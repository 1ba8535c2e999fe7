"""Objects of JSON that say something twice: readers differ in which of the two they believe (RFC 8259,
section 4), so that what one of them checked another acts upon."""

import json
from typing import Any

_SHOWN = 64


class RepeatedMemberError(ValueError):
    """An object has two members of one name; the message names it."""


def require_distinct(raw: bytes) -> None:
    """Raises RepeatedMemberError for an object, at any depth, with two members of one name.

    `raw` is JSON that was parsed before: nothing else about it is checked.
    """
    # One colon is one member at most: a list of hashes is not read twice.
    if raw.find(b":", raw.find(b":") + 1) >= 0:
        _reader.decode(raw.decode())


def _distinct(members: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in members]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise RepeatedMemberError(f"the member {repeated[:_SHOWN]!r} is there twice")


# Numbers are only measured, so that a long one costs nothing.
_reader = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=len, parse_float=len)
