"""SHA-256 of files and folders, read in blocks by several threads."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

from proof.cli.output import Advance, printable, progress

_BLOCK_BYTES: Final = 1024 * 1024


_THREADS: Final = min(8, os.cpu_count() or 1)


# Work handed to the threads at once: a million files are not a million waiting futures.
_GROUP: Final = 4096


# Without it, opening a named pipe put in a file's place would block.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


_SHA256 = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to hash; `size` in bytes as it was when found. A symbolic link is refused unless named."""

    path: Path
    size: int
    named: bool = False


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file as read: size in bytes, hash in lower-case hex."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that was left out, and why."""

    path: Path
    reason: str

    def wire(self) -> dict[str, str]:
        return {"path": printable(str(self.path)), "reason": self.reason}


@dataclass(slots=True)
class FolderContents:
    """What lies under a path. `skipped` is left out on purpose, `unreadable` against our will."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)


def parse_sha256(text: str) -> str | None:
    """The hash in lower case, when the text is 64 hexadecimal digits."""
    return text.lower() if _SHA256.fullmatch(text) else None


def find_files(folder: Path) -> FolderContents:
    """Every regular file under `folder`, hidden ones too, ordered by path.

    Symbolic links are not followed and, like pipes, sockets and devices, are skipped.
    """
    found, folders = FolderContents(), [folder]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    _sort(entry, found, folders)
        except OSError as error:
            found.unreadable.append(Problem(current, _reason(error)))
    for problems in (found.skipped, found.unreadable):
        problems.sort(key=lambda problem: problem.path.as_posix())
    found.sources.sort(key=lambda source: source.path.as_posix())
    return found


def hash_all(sources: Sequence[Source]) -> tuple[list[HashedFile], list[Problem]]:
    """Hash every file, in order; those that cannot be read are told apart."""
    hashed, unreadable = [], []
    with progress("hashing", sum(source.size for source in sources), in_bytes=True) as advance:
        for outcome in _outcomes(sources, advance):
            if isinstance(outcome, HashedFile):
                hashed.append(outcome)
            else:
                unreadable.append(outcome)
    return hashed, unreadable


def hash_file(source: Source, advance: Advance, stop: Event) -> HashedFile | Problem:
    """The hash and the size of what was read, which is all that is promised of a changing file."""
    flags = _OPEN_FLAGS | (0 if source.named else os.O_NOFOLLOW)
    digest, size = hashlib.sha256(), 0
    try:
        with open(os.open(source.path, flags), "rb", buffering=0) as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Problem(source.path, "not a regular file")
            while not stop.is_set() and (block := file.read(_BLOCK_BYTES)):
                digest.update(block)
                size += len(block)
                advance(len(block))
        if stop.is_set():
            return Problem(source.path, "interrupted")
    except OSError as error:
        return Problem(source.path, _reason(error))
    return HashedFile(source.path, size, digest.hexdigest())


def _outcomes(sources: Sequence[Source], advance: Advance) -> Iterator[HashedFile | Problem]:
    stop = Event()
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for group in _groups(sources):
                yield from pool.map(lambda source: hash_file(source, advance, stop), group)
        finally:
            # After Ctrl-C nobody waits for the rest of a large file.
            stop.set()
            pool.shutdown(cancel_futures=True)


def _groups(sources: Sequence[Source]) -> Iterable[Sequence[Source]]:
    return (sources[start : start + _GROUP] for start in range(0, len(sources), _GROUP))


def _sort(entry: "os.DirEntry[str]", found: FolderContents, folders: list[Path]) -> None:
    path = Path(entry.path)
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        found.unreadable.append(Problem(path, _reason(error)))
        return
    if stat.S_ISDIR(status.st_mode):
        folders.append(path)
    elif stat.S_ISREG(status.st_mode):
        found.sources.append(Source(path, status.st_size))
    elif stat.S_ISLNK(status.st_mode):
        found.skipped.append(Problem(path, "a symbolic link"))
    else:
        found.skipped.append(Problem(path, "not a regular file"))


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
