"""Canonical JSON (RFC 8785), so that bytes can be signed and compared."""

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


def canonical_json(value: object) -> bytes:
    """RFC 8785 bytes of a value made of objects, arrays, strings, integers, booleans and null.

    Keys must be ASCII (their order is then the same by code point and by UTF-16 unit), integers
    within ±(2^53 - 1); floating point is refused, because money and time are never floats here.
    Raises TypeError for anything else.
    """
    _check(value)
    try:
        return _encode(value)
    except UnicodeEncodeError:
        raise TypeError("half of a surrogate pair has no canonical form") from None


def _check(value: object) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise TypeError(f"a canonical key is ASCII text, not {key!r}")
            # Most members are texts, and a call for each would be most of the time.
            if type(member) is not str:
                _check(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _check(member)
    elif isinstance(value, int):
        if abs(value) > 2**53 - 1:
            raise TypeError(f"{value} is outside the integers every JSON reader keeps exact")
    elif value is not None and not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} has no canonical form here")
