"""Recursive Length Prefix, written, and read strictly: one encoding for each value.

Source: the Ethereum Yellow Paper, appendix B.
"""

from typing import Final, TypeAlias

from proof.verify.errors import RlpError

Item: TypeAlias = "bytes | list[Item]"


MAX_NESTING: Final = 8

MAX_ITEMS: Final = 4_096


_SHORT, _SHORT_LIST = 0x80, 0xC0

_MAX_SHORT: Final = 55


def decode(raw: bytes) -> Item:
    """The one item that `raw` encodes. Raises RlpError for anything else, and beyond its limits."""
    item, end, _ = _item(raw, 0, len(raw), MAX_NESTING, MAX_ITEMS)
    if end != len(raw):
        raise RlpError("something follows the end of the RLP item")
    return item


def decode_list(raw: bytes) -> list[Item]:
    """The same where only a list will do."""
    item = decode(raw)
    if isinstance(item, bytes):
        raise RlpError("the RLP item is a string where a list belongs")
    return item


def encode(item: Item) -> bytes:
    """The encoding of bytes, or of a list of items."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _SHORT:
            return item
        return _prefix(len(item), _SHORT) + item
    content = b"".join(map(encode, item))
    return _prefix(len(content), _SHORT_LIST) + content


def encode_integer(value: int) -> bytes:
    """The encoding of a number from 0 on."""
    return encode(integer_bytes(value))


def integer_bytes(value: int) -> bytes:
    """A number from 0 on as the bytes of an item: big-endian without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def integer(item: Item, name: str, max_bytes: int = 8) -> int:
    """The number an item stands for. Raises RlpError for a list, leading zeros, or too many bytes."""
    if not isinstance(item, bytes) or len(item) > max_bytes or item[:1] == b"\0":
        raise RlpError(f"{name} is no number of at most {max_bytes} bytes")
    return int.from_bytes(item, "big")


def _prefix(size: int, short: int) -> bytes:
    if size <= _MAX_SHORT:
        return bytes([short + size])
    digits = integer_bytes(size)
    return bytes([short + _MAX_SHORT + len(digits)]) + digits


def _item(raw: bytes, at: int, limit: int, nesting: int, left: int) -> tuple[Item, int, int]:
    """The item at `at`, where it ends, and how many more items there may be."""
    if at >= limit:
        raise RlpError("the RLP ends too early")
    if left == 0:
        raise RlpError(f"the RLP has more than {MAX_ITEMS} items")
    prefix = raw[at]
    if prefix < _SHORT:
        return raw[at : at + 1], at + 1, left - 1
    is_list = prefix >= _SHORT_LIST
    begin, end = _extent(raw, at, limit, _SHORT_LIST if is_list else _SHORT)
    if not is_list:
        if end - begin == 1 and raw[begin] < _SHORT:
            raise RlpError("an RLP byte below 128 has a prefix it does not need")
        return raw[begin:end], end, left - 1
    if nesting == 0:
        raise RlpError(f"the RLP nests deeper than {MAX_NESTING} lists")
    items: list[Item] = []
    left -= 1
    while begin < end:
        item, begin, left = _item(raw, begin, end, nesting - 1, left)
        items.append(item)
    return items, end, left


def _extent(raw: bytes, at: int, limit: int, short: int) -> tuple[int, int]:
    """Where the content begins and ends."""
    size, begin = raw[at] - short, at + 1
    if size > _MAX_SHORT:
        digits = raw[begin : begin + size - _MAX_SHORT]
        begin += size - _MAX_SHORT
        size = int.from_bytes(digits, "big")
        if digits[:1] == b"\0" or size <= _MAX_SHORT:
            raise RlpError("an RLP length is not in its shortest form")
    if begin + size > limit:
        raise RlpError("the RLP ends too early")
    return begin, begin + size
