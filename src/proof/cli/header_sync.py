"""A header file brought up to its source: checked, resumed where it ended, moved to a better chain."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from proof.cli.header_sources import MAX_BATCH, HeaderSource, SourceError
from proof.cli.terminal import Advance, printable
from proof.cli.writing import write_atomically
from proof.verify.header import HEADER_BYTES
from proof.verify.headers import PERIOD, HeaderChain, HeaderFileHead, head_line, parse_head
from proof.verify.networks import NETWORKS

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Begins a bar: what is done, and how many headers there are to it."""

_HEAD_BYTES: Final = 256
_SHOWN: Final = 40
_SYNC_HEADERS: Final = 100_000
"""Written between two calls of fsync; a crash costs no more, and never leaves a bad header."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What the file holds now. `kept`: the source's chain differs and took no more work than ours."""

    network: str
    start: int
    end: int
    work: int
    added: int
    replaced: int
    kept: bool = False


async def sync(
    path: Path, source: HeaderSource, network: str, start: int, progress: Progress
) -> Synced:
    """Bring the file at `path` up to the end of `source`, making it when it is missing.

    Every header in the file and every new one is checked as `HeaderChain` checks it. New headers are
    appended in pieces, so that a stopped run is resumed. Where the source has left our chain, its
    headers replace ours only if its chain took more work. `start` is for a new file.

    Raises SourceError, RefusedError when the file or the source holds something else than a chain,
    and OSError.
    """
    theirs = await source.network()
    if theirs != network:
        named = printable(theirs[:_SHOWN])
        raise SourceError(f"the source is of {named}, not {network}; --network names it")
    with _opened(path, head_line(network, start)) as file:
        return await _Sync(path, file, source, progress).run(network)


def _opened(path: Path, head: bytes) -> BinaryIO:
    """The file, made when missing, for nobody else to write meanwhile."""
    if not path.exists():
        parse_head(head)
        write_atomically(path, head)
    file = path.open("r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SourceError(f"another run is writing {path.name}; wait for it") from None
    return file


class _Sync:
    def __init__(
        self, path: Path, file: BinaryIO, source: HeaderSource, progress: Progress
    ) -> None:
        self._path = path
        self._file = file
        self._source = source
        self._progress = progress
        self._head = HeaderFileHead(NETWORKS["main"], 0, 0)

    async def run(self, network: str) -> Synced:
        self._head = parse_head(self._file.read(_HEAD_BYTES))
        if self._head.network.name != network:
            raise SourceError(
                f"{self._path.name} is of {self._head.network.name}, not {network};"
                " name another file, or that network"
            )
        size = self._path.stat().st_size - self._head.size
        chain = await self._checked("checking the file", size // HEADER_BYTES)
        end = await self._source.end()
        fork = await self._fork(chain.height, end)
        if fork == chain.height:
            added = await self._append(chain, end)
            return self._synced(chain, added, 0)
        return await self._move(chain, fork, end)

    async def _checked(self, what: str, count: int) -> HeaderChain:
        """The chain of the file's first `count` headers."""
        chain = HeaderChain(self._head.network, self._head.start)
        self._file.seek(self._head.size)
        with self._progress(what, count) as advance:
            while count:
                raw = self._file.read(min(count, PERIOD) * HEADER_BYTES)
                await asyncio.to_thread(chain.extend, raw)
                count -= len(raw) // HEADER_BYTES
                advance(len(raw) // HEADER_BYTES)
        return chain

    async def _fork(self, our_end: int, their_end: int) -> int:
        """The height up to which both chains are the same, or some height below it."""
        height, step = min(our_end, their_end) - 1, 1
        if height >= self._head.start and their_end < our_end and await self._same(height):
            return our_end  # the source is behind
        while height >= self._head.start:
            if await self._same(height):
                return height + 1
            height, step = height - step, step * 2
        return self._head.start

    async def _same(self, height: int) -> bool:
        return await self._source.headers(height, 1) == self._ours(height, 1)

    def _ours(self, height: int, count: int) -> bytes:
        self._file.seek(self._head.size + (height - self._head.start) * HEADER_BYTES)
        return self._file.read(count * HEADER_BYTES)

    async def _append(self, chain: HeaderChain, end: int) -> int:
        began, unsynced = chain.height, 0
        self._file.seek(self._head.size + (began - self._head.start) * HEADER_BYTES)
        self._file.truncate()  # what a crash may have left of a header
        with self._progress("fetching headers", max(0, end - began)) as advance:
            while raw := await self._source.headers(chain.height, MAX_BATCH):
                await asyncio.to_thread(chain.extend, raw)
                self._file.write(raw)
                count = len(raw) // HEADER_BYTES
                advance(count)
                unsynced += count
                if unsynced >= _SYNC_HEADERS:
                    self._flush()
                    unsynced = 0
        self._flush()
        return chain.height - began

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    async def _move(self, ours: HeaderChain, fork: int, end: int) -> Synced:
        """The source's chain from `fork` on, if it took more work; it replaces the file at once."""
        chain = await self._checked("checking up to the fork", fork - self._head.start)
        pieces = [self._ours(self._head.start, fork - self._head.start)]
        with self._progress("fetching headers", max(0, end - fork)) as advance:
            while raw := await self._source.headers(chain.height, MAX_BATCH):
                await asyncio.to_thread(chain.extend, raw)
                pieces.append(raw)
                advance(len(raw) // HEADER_BYTES)
        if chain.work <= ours.work:
            return self._synced(ours, 0, 0, kept=True)
        line = head_line(self._head.network.name, self._head.start)
        await asyncio.to_thread(write_atomically, self._path, line + b"".join(pieces))
        return self._synced(chain, chain.height - fork, ours.height - fork)

    def _synced(
        self, chain: HeaderChain, added: int, replaced: int, *, kept: bool = False
    ) -> Synced:
        name = self._head.network.name
        return Synced(name, chain.start, chain.height, chain.work, added, replaced, kept)
