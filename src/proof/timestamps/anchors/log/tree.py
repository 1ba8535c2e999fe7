"""The log's tree, in tiles of 256 hashes (c2sp.org/tlog-tiles). Pure.

Tile level k holds the hashes of complete subtrees of 256^k entries. Sources: RFC 6962 section 2.1
for the tree and its proofs; nodes are named (level, index): the subtree of entries
[index · 2^level, (index + 1) · 2^level).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, node_hash

HASH_BYTES = 32
TILE_WIDTH = 256
_TILE_BYTES = TILE_WIDTH * HASH_BYTES
_TILE_LEVELS = 8


class TileName(NamedTuple):
    level: int
    position: int


Tiles = Mapping[TileName, bytes]
NodeReader = Callable[[int, int], bytes]


def edge(size: int) -> list[TileName]:
    """The unfinished tile of each level of a log of `size` entries: all that appending reads."""
    names, level = [], 0
    while size >> (_TILE_LEVELS * level):
        width = size >> (_TILE_LEVELS * level)
        if width % TILE_WIDTH:
            names.append(TileName(level, width // TILE_WIDTH))
        level += 1
    return names


def append(size: int, tiles: Tiles, leaf_hashes: list[bytes]) -> dict[TileName, bytes]:
    """The tiles that change when these leaves join a log of `size` entries.

    `tiles` holds at least those that `edge(size)` names.
    """
    changed: dict[TileName, bytes] = {}
    level, start, hashes = 0, size, leaf_hashes
    while hashes:
        above = []
        for offset, value in enumerate(hashes):
            name = TileName(level, (start + offset) // TILE_WIDTH)
            before = changed.get(name)
            changed[name] = (tiles.get(name, b"") if before is None else before) + value
            if len(changed[name]) == _TILE_BYTES:
                above.append(complete_root(changed[name]))
        level, start, hashes = level + 1, start // TILE_WIDTH, above
    return changed


def root(size: int, node: NodeReader) -> bytes:
    """The root of the first `size` entries."""
    return _range(0, size, node) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The hashes that lead from entry `index` to the root of `size` entries, from below."""
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range(middle, high, node))
            high = middle
        else:
            path.append(_range(low, middle, node))
            low = middle
    return path[::-1]


def consistency_path(old: int, new: int, node: NodeReader) -> list[bytes]:
    """The hashes that show the root of `new` entries to extend the root of `old` entries.

    Empty when the sizes are equal or `old` is 0, as RFC 9162 section 2.1.4.1 has it.
    """
    if old in {0, new}:
        return []
    low, high, path = 0, new, []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range(middle, high, node))
            high = middle
        else:
            path.append(_range(low, middle, node))
            low = middle
    if low:
        path.append(_range(low, high, node))
    return path[::-1]


def reader(tiles: Tiles) -> NodeReader:
    """Read nodes out of tiles; raises KeyError for a tile that is not there."""

    def node(level: int, index: int) -> bytes:
        within = level % _TILE_LEVELS
        first = index << within
        hashes = tiles[TileName(level // _TILE_LEVELS, first // TILE_WIDTH)]
        start = first % TILE_WIDTH * HASH_BYTES
        return complete_root(hashes[start : start + (HASH_BYTES << within)])

    return node


def tiles_read(walk: Callable[[NodeReader], object]) -> set[TileName]:
    """The tiles that a walk over the tree (any function above) would read."""
    names: set[TileName] = set()

    def node(level: int, index: int) -> bytes:
        first = index << (level % _TILE_LEVELS)
        names.add(TileName(level // _TILE_LEVELS, first // TILE_WIDTH))
        return EMPTY_ROOT

    walk(node)
    return names


def _range(low: int, high: int, node: NodeReader) -> bytes:
    """The root over entries [low, high), where low is a multiple of the range's largest subtree."""
    parts = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append(node(level, low >> level))
        low += 1 << level
    value = parts.pop()
    while parts:
        value = node_hash(parts.pop(), value)
    return value


def complete_root(hashes: bytes) -> bytes:
    """The root over a power of two of concatenated hashes."""
    level = [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]
    while len(level) > 1:
        level = [node_hash(*level[i : i + 2]) for i in range(0, len(level), 2)]
    return level[0]


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1
