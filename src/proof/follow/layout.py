"""The addresses and the bundles of a log of tiles.

Source: c2sp.org/tlog-tiles, as of 0ad71eb1f1b99acf18deb575978c9205e24860cc.
"""

from collections.abc import Iterable
from typing import Final

from proof.timestamps.anchors.log.tree import TILE_WIDTH, TileName

CHECKPOINT: Final = "checkpoint"

MAX_ENTRY_BYTES: Final = 2**16 - 1

MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)


def tile_path(name: TileName, width: int = TILE_WIDTH) -> str:
    """Of a tile's first `width` hashes, e.g. tile/0/x001/x234/067 or tile/1/000.p/7."""
    return f"tile/{name.level}/{_position(name.position)}{_partial(width)}"


def entries_path(position: int, width: int = TILE_WIDTH) -> str:
    """Of the first `width` entries below a tile of level 0, e.g. tile/entries/000.p/7."""
    return f"tile/entries/{_position(position)}{_partial(width)}"


def bundle(entries: Iterable[bytes]) -> bytes:
    """Each entry after its length in two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def split_bundle(raw: bytes) -> list[bytes] | None:
    """The entries of a bundle; None when it ends within one."""
    entries, at = [], 0
    while at < len(raw):
        start = at + 2
        at = start + int.from_bytes(raw[at:start], "big")
        if start > len(raw) or at > len(raw):
            return None
        entries.append(raw[start:at])
    return entries


def _position(position: int) -> str:
    groups = [position % 1000]
    while position := position // 1000:
        groups.insert(0, position % 1000)
    return "/".join([f"x{group:03}" for group in groups[:-1]] + [f"{groups[-1]:03}"])


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
