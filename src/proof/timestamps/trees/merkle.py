"""The Merkle tree of a round, in tiles of 256 hashes. Pure.

`parent = sha256(ascii(hex(left) + hex(right)))`, leaves distinct and ascending, the last node of an
odd level paired with itself. Only every eighth level is kept: level k of the tiles is level 8k of the
tree, and the seven between are computed again from one tile when a proof is asked for.
"""

from binascii import hexlify
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from struct import Struct

HASH_BYTES = 32

TILE_WIDTH = 256

TILE_BYTES = TILE_WIDTH * HASH_BYTES

_LEVELS = 8

# 1,024 leaves and all that is computed above them stay in a core's cache.
_CHUNK_BYTES = 4 * TILE_BYTES


class LeafOrderError(ValueError):
    """Leaves are not distinct and ascending."""


@dataclass(frozen=True, slots=True)
class RoundTree:
    """A built tree. `levels[k]` holds the hashes of tree level 8k, concatenated; the root is apart."""

    levels: tuple[bytes, ...]
    root: bytes

    @property
    def leaf_count(self) -> int:
        return len(self.levels[0]) // HASH_BYTES

    def tiles(self) -> list[tuple[int, int, bytes]]:
        """(level, position, hashes) of each tile; the last of a level may be narrower."""
        return [
            (level, start // TILE_BYTES, hashes[start : start + TILE_BYTES])
            for level, hashes in enumerate(self.levels)
            for start in range(0, len(hashes), TILE_BYTES)
        ]


@dataclass(frozen=True, slots=True)
class PathStep:
    """One level of a path: the two children, and which of them the path comes from."""

    left: bytes
    right: bytes
    from_right: bool


def build(leaves: bytes) -> RoundTree:
    """The tree over concatenated 32-byte leaves, ascending and distinct.

    Order is the database's promise and is not checked here; see `require_ascending`.
    """
    levels = [leaves]
    while len(levels[-1]) > TILE_BYTES:
        below = levels[-1]
        levels.append(
            b"".join(
                [
                    _climb(below[start : start + _CHUNK_BYTES])
                    for start in range(0, len(below), _CHUNK_BYTES)
                ]
            )
        )
    return RoundTree(tuple(levels), top_of(levels[-1]))


def require_ascending(leaves: bytes) -> None:
    """Raises LeafOrderError unless the concatenated leaves are distinct and ascending."""
    split = [leaves[i : i + HASH_BYTES] for i in range(0, len(leaves), HASH_BYTES)]
    for before, after in pairwise(split):
        if before >= after:
            raise LeafOrderError(f"leaf {after.hex()} does not come after {before.hex()}")


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


def top_of(tile: bytes) -> bytes:
    """The root over the hashes of a top tile."""
    while len(tile) > HASH_BYTES:
        tile = _parents(_even(tile))
    return tile


def tile_levels(leaf_count: int) -> int:
    """How many levels of tiles a tree of that many leaves has."""
    levels = 1
    while leaf_count > TILE_WIDTH:
        leaf_count = -(-leaf_count // TILE_WIDTH)
        levels += 1
    return levels


def _climb(chunk: bytes) -> bytes:
    for _ in range(_LEVELS):
        chunk = _parents(_even(chunk))
    return chunk


def _even(level: bytes) -> bytes:
    return level + level[-HASH_BYTES:] if len(level) % (2 * HASH_BYTES) else level


def _parents(level: bytes) -> bytes:
    pairs = _pairs(len(level) // (2 * HASH_BYTES)).unpack(hexlify(level))
    return b"".join([sha256(pair).digest() for pair in pairs])


@lru_cache(maxsize=1024)
def _pairs(count: int) -> Struct:
    return Struct("128s" * count)
