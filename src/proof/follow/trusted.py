"""The tree that a checkpoint signs, from tiles that nobody vouches for.

The unfinished tiles of all levels together make the root, so that the root vouches for every hash in them.
A full tile's own root is a hash in the tile above it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from proof.follow.faults import Fault, LogFaultError
from proof.follow.layout import entries_path, tile_path
from proof.follow.source import LogSource
from proof.timestamps.anchors.log import tree
from proof.timestamps.anchors.log.tree import (
    HASH_BYTES,
    TILE_WIDTH,
    NodeReader,
    TileName,
    Tiles,
    complete_root,
    reader,
    tiles_read,
)
from proof.verify.evidence.log.checkpoint import Checkpoint, verify_checkpoint
from proof.verify.evidence.log.rfc6962 import leaf_hash

# Of 8 KiB each; the tiles above those of level 0, of which there are 256 times as many.
_KEPT_TILES: Final = 512

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A note, and what the trusted keys establish about it."""

    note: bytes
    checkpoint: Checkpoint

    @classmethod
    def remembered(cls, note: bytes) -> Self:
        """One that was verified when it was stored, whatever keys are trusted by now. Raises RefusedError
        for what is no checkpoint."""
        return cls(note, verify_checkpoint(note, ()))

    @property
    def origin(self) -> str:
        return self.checkpoint.origin

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        return self.checkpoint.root


class TrustedTree:
    """Tiles and entries of the first `size` entries, each checked up to the root before it is given out.

    Every method raises LogFaultError: ALTERED when no source has what the root vouches for, and what the
    sources raise.
    """

    def __init__(self, sources: Sequence[LogSource], signed: SignedCheckpoint) -> None:
        """`sources` are asked in their order, each when those before it fail. Use `opened`."""
        self._sources = sources
        self._signed = signed
        self._edge: Tiles = {}
        self._kept: OrderedDict[TileName, bytes] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def opened(cls, sources: Sequence[LogSource], signed: SignedCheckpoint) -> Self:
        """With the unfinished tiles, which must make the root."""
        found = cls(sources, signed)
        found._edge = await found._first_good(found._read_edge)
        return found

    @property
    def size(self) -> int:
        return self._signed.size

    def width(self, name: TileName) -> int:
        """How many hashes of a tile the size completes."""
        whole = self.size >> (8 * name.level)
        return max(0, min(TILE_WIDTH, whole - name.position * TILE_WIDTH))

    async def tile(self, name: TileName) -> bytes:
        """As many hashes of it as the size completes."""
        if name in self._edge:
            return self._edge[name]
        if name.level == 0:
            return await self._full_tile(name)
        async with self._one_at_a_time:
            return await self._kept_tile(name)

    async def entries(self, position: int) -> list[bytes]:
        """Those below a tile of level 0."""
        hashes = await self.tile(TileName(0, position))
        width = len(hashes) // HASH_BYTES
        return await self._first_good(
            lambda source: self._read_entries(source, position, width, hashes)
        )

    async def root(self, size: int) -> bytes:
        """The root of the first `size` entries, at most all of them."""
        node = await self._reader(lambda node: tree.root(size, node))
        return tree.root(size, node)

    async def consistency(self, old: int) -> list[bytes]:
        """The path that shows this tree to extend the one of `old` entries (RFC 9162, 2.1.4.1)."""
        node = await self._reader(lambda node: tree.consistency_path(old, self.size, node))
        return tree.consistency_path(old, self.size, node)

    async def _reader(self, walk: Callable[[NodeReader], object]) -> NodeReader:
        names = tiles_read(walk)
        return reader({name: await self.tile(name) for name in names})

    async def _kept_tile(self, name: TileName) -> bytes:
        """A tile above level 0, from memory or else as read; whoever calls holds the lock."""
        if name in self._edge:
            return self._edge[name]
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        hashes = await self._full_tile(name)
        self._kept[name] = hashes
        if len(self._kept) > _KEPT_TILES:
            self._kept.popitem(last=False)
        return hashes

    async def _full_tile(self, name: TileName) -> bytes:
        above = TileName(name.level + 1, name.position // TILE_WIDTH)
        hashes = await (self._kept_tile(above) if name.level else self.tile(above))
        start = name.position % TILE_WIDTH * HASH_BYTES
        expected = hashes[start : start + HASH_BYTES]
        return await self._first_good(lambda source: self._read_tile(source, name, expected))

    async def _first_good(self, read: Callable[[LogSource], Awaitable[_T]]) -> _T:
        """What the first source gives that has it right; else what is wrong with the last one's."""
        for source in self._sources[:-1]:
            try:
                return await read(source)
            except LogFaultError:
                continue
        return await read(self._sources[-1])

    async def _read_edge(self, source: LogSource) -> Tiles:
        names = tree.edge(self.size)
        found = await asyncio.gather(*(source.tile(name, self.width(name)) for name in names))
        tiles = dict(zip(names, found, strict=True))
        if tree.root(self.size, reader(tiles)) != self._signed.root:
            raise self._altered(
                f"the unfinished tiles of {self.size} entries do not make the root that is signed",
                {tile_path(name, self.width(name)): tiles[name].hex() for name in names},
            )
        return tiles

    async def _read_tile(self, source: LogSource, name: TileName, expected: bytes) -> bytes:
        hashes = await source.tile(name, TILE_WIDTH)
        if complete_root(hashes) != expected:
            path = tile_path(name)
            raise self._altered(
                f"{path} is not the tile that the signed root of {self.size} entries stands for",
                {path: hashes.hex()},
            )
        return hashes

    async def _read_entries(
        self, source: LogSource, position: int, width: int, hashes: bytes
    ) -> list[bytes]:
        entries = await source.entries(position, width)
        for number, entry in enumerate(entries):
            if leaf_hash(entry) != hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]:
                index = position * TILE_WIDTH + number
                raise self._altered(
                    f"entry {index} is not the one that the signed root of {self.size} entries stands"
                    " for",
                    {f"{entries_path(position, width)}#{index}": entry.hex()},
                )
        return entries

    def _altered(self, message: str, served: dict[str, str]) -> LogFaultError:
        signed = self._signed.note.decode(errors="replace")
        return LogFaultError(
            Fault.ALTERED, f"altered: {message}", {"checkpoint": signed, "served": served}
        )


async def require_extension(log: TrustedTree, old: SignedCheckpoint, new: SignedCheckpoint) -> None:
    """Establish that the tree of `new`, which is `log`, begins with that of `old`.

    Raises LogFaultError: FORK, with both checkpoints and the path that shows that they contradict each
    other. `old` has at most as many entries.
    """
    root = await log.root(old.size)
    if root == old.root:
        return
    path = await log.consistency(old.size)
    if old.size == new.size:
        said = f"two checkpoints of {old.size} entries are signed, with different roots"
    else:
        said = (
            f"the signed log of {new.size} entries does not begin with the {old.size} entries that were"
            " signed before"
        )
    raise fork(said, old, new, {"rootInNewer": root.hex(), "path": [node.hex() for node in path]})


def fork(
    said: str, old: SignedCheckpoint, new: SignedCheckpoint, more: dict[str, Any] | None = None
) -> LogFaultError:
    """Two signed checkpoints that contradict each other. With `rootInNewer` and `path` in `more`: the path
    shows (RFC 9162, 2.1.4.2) that the newer log has that root where the older has another."""
    notes = {"older": old.note.decode(), "newer": new.note.decode()}
    return LogFaultError(Fault.FORK, f"fork: {said}; keep the evidence", notes | (more or {}))
