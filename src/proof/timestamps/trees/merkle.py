"""The two Merkle trees of a round, in tiles of 256 hashes. Pure.

The contract's: `parent = sha256(ascii(hex(left) + hex(right)))`, leaves distinct and ascending, the last
node of an odd level paired with itself. The plain one (RFC 9162): `sha256(00 + leaf)`, `sha256(01 + left +
right)`, the last node of an odd level carried up as it is. Only every eighth level is kept: level k of the
tiles is level 8k of a tree, and the seven between are computed again from one tile when a proof is asked
for. Level 0 holds leaves, which both trees of a round share.
"""

from binascii import hexlify
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from proof.timestamps.types import Roots

HASH_BYTES = 32

TILE_WIDTH = 256

TILE_BYTES = TILE_WIDTH * HASH_BYTES

_LEVELS = 8

# 1,024 leaves and all that is computed above them stay in a core's cache.
_CHUNK_BYTES = 4 * TILE_BYTES


class Tile(NamedTuple):
    """Hashes of one place in both trees, concatenated; the last of a level may be narrower.

    `plain` is None where the plain tree's are the same.
    """

    level: int
    position: int
    hashes: bytes
    plain: bytes | None


@dataclass(frozen=True, slots=True)
class RoundTree:
    """Both trees, built. `levels[k]` and `plain_levels[k]` hold the hashes of level 8k, concatenated; the
    roots are apart."""

    levels: tuple[bytes, ...]
    plain_levels: tuple[bytes, ...]
    roots: Roots

    @property
    def leaf_count(self) -> int:
        return len(self.levels[0]) // HASH_BYTES

    def tiles(self) -> list[Tile]:
        """By level, then by position."""
        found = []
        for level, (hashes, plain) in enumerate(zip(self.levels, self.plain_levels, strict=True)):
            for start in range(0, len(hashes), TILE_BYTES):
                place = slice(start, start + TILE_BYTES)
                other = None if plain is hashes else plain[place]
                found.append(Tile(level, start // TILE_BYTES, hashes[place], other))
        return found


@dataclass(frozen=True, slots=True)
class PathStep:
    """One level of a path: the two children, and which of them the path comes from."""

    left: bytes
    right: bytes
    from_right: bool


class PlainStep(NamedTuple):
    """One node of a plain path: the sibling, and whether the path comes from its right."""

    sibling: bytes
    from_right: bool


def build(leaves: bytes, plain_leaves: bytes | None = None) -> RoundTree:
    """The trees over concatenated 32-byte leaves, ascending and distinct.

    `plain_leaves`: what stands in the plain tree in their places; None: they themselves. Order is the
    database's promise and is not checked here.
    """
    plain = leaves if plain_leaves is None else plain_leaves
    if len(plain) != len(leaves):
        raise ValueError("both trees have the same number of leaves")
    levels, plain_levels = [leaves], [plain]
    while len(levels[-1]) > TILE_BYTES:
        bottom = len(levels) == 1
        levels.append(_raised(levels[-1], _climb))
        plain_levels.append(_raised(plain_levels[-1], _climb_leaves if bottom else _climb_plain))
    top = plain_levels[-1]
    plain_root = plain_top_of(_leaf_hashes(top) if len(levels) == 1 else top)
    return RoundTree(tuple(levels), tuple(plain_levels), Roots(top_of(levels[-1]), plain_root))


def tile_path(tile: bytes, position: int, *, top: bool) -> list[PathStep]:
    """The steps from hash `position` of a tile to the tile's own top, from below.

    A tile below the top always climbs eight levels, even from one hash: its level of the tree has
    others. The top tile ends at the root.
    """
    steps: list[PathStep] = []
    level = tile
    while (len(level) > HASH_BYTES) if top else len(steps) < _LEVELS:
        level = _even(level)
        left = (position & ~1) * HASH_BYTES
        children = level[left : left + HASH_BYTES], level[left + HASH_BYTES : left + 2 * HASH_BYTES]
        steps.append(PathStep(*children, from_right=bool(position & 1)))
        level, position = _parents(level), position >> 1
    return steps


def plain_tile_path(tile: bytes, position: int, *, bottom: bool) -> list[PlainStep]:
    """The steps of the plain tree from hash `position` of a tile to the tile's own top, from below.

    `bottom`: the tile holds leaves. A node that is carried up makes no step, so the top is reached when one
    hash is left, in every tile.
    """
    steps: list[PlainStep] = []
    level = _leaf_hashes(tile) if bottom else tile
    while len(level) > HASH_BYTES:
        sibling = (position ^ 1) * HASH_BYTES
        if sibling < len(level):
            steps.append(PlainStep(level[sibling : sibling + HASH_BYTES], bool(position & 1)))
        level, position = _plain_parents(level), position >> 1
    return steps


def top_of(tile: bytes) -> bytes:
    """The root over the hashes of a top tile."""
    while len(tile) > HASH_BYTES:
        tile = _parents(_even(tile))
    return tile


def plain_top_of(tile: bytes) -> bytes:
    """The plain root over the hashes of a top tile, of leaves already hashed."""
    while len(tile) > HASH_BYTES:
        tile = _plain_parents(tile)
    return tile


def _raised(below: bytes, climb: Callable[[bytes], bytes]) -> bytes:
    """The level eight above, chunk by chunk."""
    starts = range(0, len(below), _CHUNK_BYTES)
    return b"".join([climb(below[start : start + _CHUNK_BYTES]) for start in starts])


def _climb(chunk: bytes) -> bytes:
    for _ in range(_LEVELS):
        chunk = _parents(_even(chunk))
    return chunk


def _climb_leaves(chunk: bytes) -> bytes:
    return _climb_plain(_leaf_hashes(chunk))


def _climb_plain(chunk: bytes) -> bytes:
    for _ in range(_LEVELS):
        chunk = _plain_parents(chunk)
    return chunk


def _even(level: bytes) -> bytes:
    return level + level[-HASH_BYTES:] if len(level) % (2 * HASH_BYTES) else level


def _parents(level: bytes) -> bytes:
    pairs = _split(4 * HASH_BYTES, len(level) // (2 * HASH_BYTES)).unpack(hexlify(level))
    return b"".join([sha256(pair).digest() for pair in pairs])


def _leaf_hashes(leaves: bytes) -> bytes:
    return b"".join(_marked_hashes(b"\x00", leaves, HASH_BYTES))


def _plain_parents(level: bytes) -> bytes:
    parents = _marked_hashes(b"\x01", level, 2 * HASH_BYTES)
    return b"".join([*parents, level[len(parents) * 2 * HASH_BYTES :]])


def _marked_hashes(mark: bytes, level: bytes, width: int) -> list[bytes]:
    """The hash of each whole piece of `width` bytes behind `mark`."""
    count = len(level) // width
    # All at once: putting the mark before one piece after the other takes twice as long.
    marked = mark.join((b"", *_split(width, count).unpack_from(level)))
    return [sha256(piece).digest() for piece in _split(1 + width, count).unpack(marked)]


@lru_cache(maxsize=4096)
def _split(width: int, count: int) -> Struct:
    return Struct(f"{width}s" * count)
