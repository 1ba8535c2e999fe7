"""A mirror: a folder of files that any web server serves as the log, and that verifies at any moment.

In crash order, of one update:

1. The remote checkpoint is verified, and its tree held against the folder's own checkpoint.
2. Tiles and entries are put in place, from the top down, each checked up to the new root before and on
   disk after. Stopped here, the folder's checkpoint is still the old one, and all it needs is there.
3. The checkpoint is replaced. From now on the folder is a mirror of the larger log.
4. Partial tiles whose full tile is there are deleted. Stopped before, the next run deletes them.
"""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proof.core.errors import InvalidInputError
from proof.follow.faults import Fault, LogFaultError
from proof.follow.files import TEMPORARY, alone_in, put
from proof.follow.layout import CHECKPOINT, bundle, entries_path, split_bundle, tile_path
from proof.follow.source import LogSource, newest
from proof.follow.trust import Trust
from proof.follow.trusted import SignedCheckpoint, TrustedTree, fork, require_extension
from proof.follow.work import Progress, each, unseen
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName
from proof.verify import RefusedError


@dataclass(frozen=True, slots=True)
class Update:
    """What an update did; `size_before` is 0 for a new mirror, `files` counts those put in place."""

    signed: SignedCheckpoint
    size_before: int
    files: int


class LocalLog:
    """A log in files below a folder; see LogSource. A partial tile is also taken from its full one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def checkpoint(self) -> bytes:
        return self._read(CHECKPOINT)

    async def tile(self, name: TileName, width: int) -> bytes:
        path, length = tile_path(name, width), width * HASH_BYTES
        if width < TILE_WIDTH and self.has(tile_path(name)):
            path = tile_path(name)
        hashes = self._read(path)[:length]
        if len(hashes) != length:
            raise LogFaultError(Fault.BROKEN, f"{self._folder / path} is too short for a tile")
        return hashes

    async def entries(self, position: int, width: int) -> list[bytes]:
        path = entries_path(position, width)
        if width < TILE_WIDTH and self.has(entries_path(position)):
            path = entries_path(position)
        entries = split_bundle(self._read(path))
        if entries is None or len(entries) < width:
            raise LogFaultError(Fault.BROKEN, f"{self._folder / path} is no bundle of entries")
        return entries[:width]

    def has(self, path: str) -> bool:
        return (self._folder / path).is_file()

    def _read(self, path: str) -> bytes:
        try:
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise LogFaultError(Fault.BROKEN, f"{self._folder / path} is missing") from None


class Mirror:
    """Keeps a folder equal to a log."""

    def __init__(
        self,
        source: LogSource,
        trust: Trust,
        folder: Path,
        progress: Progress = unseen,
    ) -> None:
        self._source = source
        self._trust = trust
        self._folder = folder
        self._progress = progress
        self._local = LocalLog(folder)
        self._swept = False
        self._files = 0

    async def update(self, *, check: bool = False) -> Update:
        """Bring the folder up to the newest checkpoint; `check`: read all that is there again, and replace
        what is not what the log signed.

        Raises LogFaultError, and nothing unverified is in the folder; OSError for a folder that cannot be
        written, InvalidInputError for one that is no mirror of this log, ConflictError when another
        process works in it.
        """
        with alone_in(self._folder):
            return await self._update(check=check)

    async def _update(self, *, check: bool) -> Update:
        self._files = 0
        old = await self._own_checkpoint()
        new = self._trust.verify(await newest(self._source, known=old is not None))
        await self._require_successor(old, new)
        tree = await TrustedTree.opened([self._local, self._source], new)
        if old is not None:
            await require_extension(tree, old, new)
        covered = 0 if old is None or check else old.size
        await self._place_tree(tree, covered, check=check)
        if old is None or old.note != new.note:
            await asyncio.to_thread(put, self._folder / CHECKPOINT, new.note)
        await asyncio.to_thread(self._sweep, new.size, covered)
        return Update(new, old.size if old else 0, self._files)

    async def _own_checkpoint(self) -> SignedCheckpoint | None:
        if not self._local.has(CHECKPOINT):
            return None
        try:
            return SignedCheckpoint.remembered(await self._local.checkpoint())
        except RefusedError as error:
            raise InvalidInputError(
                f"{self._folder / CHECKPOINT} is no checkpoint ({error}); name an empty folder, or the"
                " folder of a mirror"
            ) from None

    async def _require_successor(self, old: SignedCheckpoint | None, new: SignedCheckpoint) -> None:
        if old is None:
            return
        if old.origin != new.origin:
            raise InvalidInputError(
                f"{self._folder} mirrors {old.origin}, not {new.origin}; each log"
                " needs a folder of its own"
            )
        if new.size < old.size:
            await require_extension(await TrustedTree.opened([self._local], old), new, old)
            raise LogFaultError(
                Fault.ROLLBACK,
                f"rollback: the log shows {new.size} entries, and the mirror has {old.size}; the mirror"
                " stays as it is",
            )
        if new.size == old.size and new.root != old.root:
            raise fork(
                f"two checkpoints of {new.size} entries are signed, with different roots", old, new
            )

    async def _place_tree(self, tree: TrustedTree, covered: int, *, check: bool) -> None:
        """Every file that the size of the tree needs and that of `covered` entries did not."""
        # Nothing is laid out in advance: the size is the log's word, and has up to 63 bits.
        levels = [_positions(tree.size, covered, level) for level in range(_levels(tree.size))]
        count = sum(end - first for first, end in [*levels, *levels[:1]])
        with self._progress("mirroring", count) as advance:
            # A tile is checked by the one above it, which is in the folder by then.
            for level in reversed(range(len(levels))):

                async def place_tile(name: TileName) -> None:
                    await self._place_tile(tree, name, check=check)
                    advance(1)

                await each(_names(tree.size, covered, level), place_tile)

            async def place_entries(name: TileName) -> None:
                await self._place_entries(tree, name, check=check)
                advance(1)

            await each(_names(tree.size, covered, 0), place_entries)

    async def _place_tile(self, tree: TrustedTree, name: TileName, *, check: bool) -> None:
        path = tile_path(name, tree.width(name))
        if check or not self._local.has(path):
            await self._place(path, await tree.tile(name))

    async def _place_entries(self, tree: TrustedTree, name: TileName, *, check: bool) -> None:
        path = entries_path(name.position, tree.width(name))
        if check or not self._local.has(path):
            await self._place(path, bundle(await tree.entries(name.position)))

    async def _place(self, path: str, content: bytes) -> None:
        await asyncio.to_thread(self._put, self._folder / path, content)

    def _put(self, path: Path, content: bytes) -> None:
        if path.is_file() and path.read_bytes() == content:
            return
        put(path, content)
        self._files += 1

    def _sweep(self, size: int, covered: int) -> None:
        """Delete partial tiles whose full tile is there, and, once, what a crash left of others."""
        if not self._swept:
            for temporary in self._folder.rglob(TEMPORARY):
                temporary.unlink(missing_ok=True)
            partial = list((self._folder / "tile").rglob("*.p"))
        else:
            partial = [
                self._folder / f"{path}.p"
                for level in range(_levels(size))
                for name in _names(size, covered, level)
                for path in (tile_path(name), entries_path(name.position))
            ]
        self._swept = True
        for folder in partial:
            if folder.with_suffix("").is_file() and folder.is_dir():
                shutil.rmtree(folder)


def _levels(size: int) -> int:
    """How many levels of tiles a log has."""
    count = 0
    while size >> (8 * count):
        count += 1
    return count


def _names(size: int, covered: int, level: int) -> Iterator[TileName]:
    """The tiles of a level that a log of `size` entries has and one of `covered` had not as wide."""
    first, end = _positions(size, covered, level)
    return (TileName(level, position) for position in range(first, end))


def _positions(size: int, covered: int, level: int) -> tuple[int, int]:
    """The first of them, and the end."""
    first = (covered >> (8 * level)) // TILE_WIDTH
    return first, max(first, -(-(size >> (8 * level)) // TILE_WIDTH))
