"""Writing DER (ITU-T X.690): only what a token needs, from bytes to bytes.

Tokens are put together from parts encoded once, so issuing one costs little beside its signature.
"""

from datetime import UTC, datetime

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, GENERALIZED_TIME, SEQUENCE, SET = 0x0C, 0x18, 0x30, 0x31
_LONG_FORM = 0x80


def tlv(tag: int, *contents: bytes) -> bytes:
    """Tag, length and the contents joined."""
    content = b"".join(contents)
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + content


def sequence(*contents: bytes) -> bytes:
    """A SEQUENCE of encoded values."""
    return tlv(SEQUENCE, *contents)


def set_of(*contents: bytes) -> bytes:
    """A SET OF encoded values, in the order DER demands."""
    return tlv(SET, *sorted(contents))


def explicit(number: int, *contents: bytes) -> bytes:
    """A constructed context tag around encoded values."""
    return tlv(0xA0 | number, *contents)


def integer(value: int) -> bytes:
    """An INTEGER in the fewest octets."""
    # The sign takes a bit of its own, and -128 has no more others than 127.
    bits = (value if value >= 0 else ~value).bit_length()
    return tlv(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form. Raises ValueError for one that is none."""
    arcs = [int(arc) for arc in dotted.split(".")]
    if len(arcs) < 2 or arcs[0] > 2 or min(arcs) < 0 or (arcs[0] < 2 and arcs[1] > 39):
        raise ValueError(f"{dotted} is not an object identifier")
    return tlv(OID, b"".join(map(_base_128, [arcs[0] * 40 + arcs[1], *arcs[2:]])))


def _base_128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def generalized_time(moment: datetime) -> bytes:
    """A GeneralizedTime in UTC to the microsecond, without trailing zeros (X.690, 11.7)."""
    text = moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")
    if moment.microsecond:
        text += f".{moment.microsecond:06d}".rstrip("0")
    return tlv(GENERALIZED_TIME, text.encode() + b"Z")
