"""The manifest of a folder: every file's path, size and SHA-256, as one file that is stamped itself.

RFC 8785 canonical JSON: `{"files":[{"path","sha256","size"},…],"type":"proof-manifest","version":1}`.
Paths are relative to the folder, with `/`, in code point order; sizes are bytes, hashes lower-case hex.
The same content always gives the same bytes, so a manifest's hash stands for the folder.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from proof.cli.output import printable
from proof.cli.proofs.hashing import HashedFile, Problem
from proof.core.canonical import canonical_json
from proof.core.errors import ProofError

SUFFIX: Final = ".proof-manifest.json"

MAX_BYTES: Final = 256 * 1024 * 1024
"""Room for about two million files; a manifest comes from a stranger."""


_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class ManifestError(ProofError):
    """The text is no manifest; the message says why."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the folder."""

    path: str
    sha256: _Sha256
    size: Annotated[int, Meta(ge=0)]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    files: list[Entry]
    type: Literal["proof-manifest"]
    version: Literal[1]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a folder departs from its manifest; paths relative to the folder, in order."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.extra)


def build(folder: Path, files: Iterable[HashedFile]) -> tuple[bytes, list[Problem]]:
    """The manifest of `folder`, and the files it cannot hold because JSON cannot spell their names."""
    entries, unnamed = [], []
    for file in files:
        path = file.path.relative_to(folder).as_posix()
        if _is_text(path):
            entries.append({"path": path, "sha256": file.sha256, "size": file.size})
        else:
            unnamed.append(Problem(file.path, "its name is not UTF-8, so no manifest can hold it"))
    entries.sort(key=lambda entry: str(entry["path"]))
    return canonical_json({"files": entries, "type": "proof-manifest", "version": 1}), unnamed


def parse(raw: bytes) -> tuple[Entry, ...]:
    """The files a manifest lists, in its order. Raises ManifestError.

    Refused: other members, paths that leave the folder or are written in two ways, paths out of order
    or listed twice. Not checked: whether the text is canonical, which its own hash settles.
    """
    if len(raw) > MAX_BYTES:
        raise ManifestError(
            f"a manifest is at most {MAX_BYTES} bytes long; `proof stamp FOLDER` writes one"
        )
    try:
        files = msgspec.json.decode(raw, type=_Manifest).files
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # The library's message quotes member names, which a stranger chose.
        raise ManifestError(
            f"not a manifest: {printable(str(error))}; `proof stamp FOLDER` writes one"
        ) from None
    previous = ""
    for entry in files:
        if any(part in {"", ".", ".."} for part in entry.path.split("/")) or "\0" in entry.path:
            raise ManifestError(
                f"the path {entry.path!a} does not stay inside the folder; trust no file by it"
            )
        if entry.path <= previous:
            raise ManifestError(
                f"the path {entry.path!a} is listed twice or out of order; trust no file by it"
            )
        previous = entry.path
    return tuple(files)


def compare(entries: Iterable[Entry], folder: Path, files: Iterable[HashedFile]) -> Difference:
    """What differs between a manifest's entries and a folder's files as read now."""
    listed = {entry.path: entry for entry in entries}
    present = {file.path.relative_to(folder).as_posix(): file for file in files}
    changed = (
        path
        for path, entry in listed.items()
        if path in present
        and (present[path].sha256, present[path].size) != (entry.sha256, entry.size)
    )
    return Difference(
        tuple(path for path in listed if path not in present),
        tuple(changed),
        tuple(path for path in present if path not in listed),
    )


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
