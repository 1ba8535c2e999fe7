"""Reading DER (ITU-T X.690, clauses 8 and 10): what a token holds, strictly.

Nothing here recurses: a value is opened only where the caller asks, so depth is the caller's. Lengths are
definite and in their shortest form, INTEGERs in the fewest octets, tags below 31. Not checked: the order
within a SET OF, and defaults that are written out; signatures cover the octets as they stand.
"""

from dataclasses import dataclass
from typing import Final

from proof.verify.errors import DerError

BOOLEAN: Final = 0x01

INTEGER: Final = 0x02

BIT_STRING: Final = 0x03

OCTET_STRING: Final = 0x04

OID: Final = 0x06

UTC_TIME: Final = 0x17

GENERALIZED_TIME: Final = 0x18

SEQUENCE: Final = 0x30

SET: Final = 0x31

MAX_ITEMS: Final = 64
"""Of a SEQUENCE OF or SET OF."""


_LONG_FORM: Final = 0x80

_HIGH_TAG: Final = 0x1F

_MAX_LENGTH_BYTES: Final = 3

_MAX_OID_BYTES: Final = 32

_MAX_INTEGER_BYTES: Final = 1_100  # an RSA modulus of 8,192 bits is the largest


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its tag, its contents, and all of its octets."""

    tag: int
    content: bytes
    raw: bytes


class Reader:
    """Reads the values of some contents one after the other. `name` is for messages."""

    def __init__(self, content: bytes, name: str) -> None:
        self._content = content
        self._at = 0
        self._name = name

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._content)

    def value(self) -> Value:
        """The next value of any type. Raises DerError."""
        start, content = self._at, self._content
        head = content[start : start + 2]
        if len(head) < 2:
            raise DerError(f"{self._name} ends within a value")
        if head[0] & _HIGH_TAG == _HIGH_TAG:
            raise DerError(f"{self._name} has a tag of more than one octet")
        begin, length = self._length(start + 1, head[1])
        if len(content) - begin < length:
            raise DerError(f"{self._name} ends within a value")
        self._at = begin + length
        return Value(head[0], content[begin : self._at], content[start : self._at])

    def of(self, tag: int) -> Value:
        """The next value, which has that tag. Raises DerError."""
        found = self.value()
        if found.tag != tag:
            raise DerError(f"{self._name} has a value of tag {found.tag:#04x}, not {tag:#04x}")
        return found

    def maybe(self, tag: int) -> Value | None:
        """The next value if it has that tag; else nothing is read. Raises DerError."""
        if self._content[self._at : self._at + 1] != bytes((tag,)):
            return None
        return self.value()

    def inside(self, tag: int) -> "Reader":
        """A reader of the contents of the next value, which has that tag. Raises DerError."""
        return Reader(self.of(tag).content, self._name)

    def all(self) -> list[Value]:
        """What is left, at most MAX_ITEMS values. Raises DerError."""
        found: list[Value] = []
        while not self.at_end:
            if len(found) == MAX_ITEMS:
                raise DerError(f"{self._name} has a list of over {MAX_ITEMS} items")
            found.append(self.value())
        return found

    def end(self) -> None:
        """Raises DerError if something is left."""
        if not self.at_end:
            raise DerError(f"{self._name} has more values than belong there")

    def integer(self) -> int:
        """The next value, an INTEGER. Raises DerError."""
        return integer(self.of(INTEGER), self._name)

    def identifier(self) -> str:
        """The next value, an OBJECT IDENTIFIER in dotted form. Raises DerError."""
        return identifier(self.of(OID), self._name)

    def _length(self, at: int, first: int) -> tuple[int, int]:
        """Where the contents begin, and how many octets they have."""
        if first < _LONG_FORM:
            return at + 1, first
        size = first - _LONG_FORM
        octets = self._content[at + 1 : at + 1 + size]
        if not 0 < size <= _MAX_LENGTH_BYTES or len(octets) < size:
            raise DerError(f"{self._name} has a length that is indefinite or too long")
        length = int.from_bytes(octets, "big")
        if octets[0] == 0 or length < _LONG_FORM:
            raise DerError(f"{self._name} has a length in more octets than it needs")
        return at + 1 + size, length


def only(raw: bytes, tag: int, name: str) -> Reader:
    """A reader inside the one value, with that tag, that `raw` is. Raises DerError."""
    outer = Reader(raw, name)
    inside = outer.inside(tag)
    outer.end()
    return inside


def integer(value: Value, name: str) -> int:
    """The number of an INTEGER's contents, whatever its tag. Raises DerError."""
    octets = value.content
    if not 0 < len(octets) <= _MAX_INTEGER_BYTES:
        raise DerError(f"{name} has a number of no octets, or of too many")
    if len(octets) > 1 and octets[0] in {0x00, 0xFF} and (octets[0] ^ octets[1]) < _LONG_FORM:
        raise DerError(f"{name} has a number in more octets than it needs")
    return int.from_bytes(octets, "big", signed=True)


def identifier(value: Value, name: str) -> str:
    """An OBJECT IDENTIFIER in dotted form. Raises DerError."""
    octets = value.content
    if not 0 < len(octets) <= _MAX_OID_BYTES or octets[-1] >= _LONG_FORM:
        raise DerError(f"{name} has an object identifier that is cut or too long")
    arcs, arc, begun = [], 0, False
    for octet in octets:
        if not begun and octet == _LONG_FORM:
            raise DerError(f"{name} has an object identifier in more octets than it needs")
        arc, begun = arc << 7 | octet & 0x7F, octet >= _LONG_FORM
        if not begun:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
