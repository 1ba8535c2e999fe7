"""What a stamp is about: the named files, the folders' files and their manifests, bare hashes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256 as sha256_of
from pathlib import Path

from proof.cli.output import USAGE, fail, printable
from proof.cli.proofs import manifest as manifests
from proof.cli.proofs.hashing import HashedFile, Problem, Source, find_files, hash_all, parse_sha256


@dataclass(frozen=True, slots=True)
class FolderManifest:
    """A folder's manifest, and where it goes."""

    folder: Path
    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        return sha256_of(self.content).hexdigest()


@dataclass(slots=True)
class Collection:
    """All that is to be stamped, and what was left out."""

    hashes: list[str] = field(default_factory=list)
    files: list[HashedFile] = field(default_factory=list)
    in_folders: list[HashedFile] = field(default_factory=list)
    manifests: list[FolderManifest] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)

    def digests(self) -> list[str]:
        """Every distinct hash, in order."""
        files = [file.sha256 for file in (*self.files, *self.in_folders)]
        return list(
            dict.fromkeys([*self.hashes, *files, *(manifest.sha256 for manifest in self.manifests)])
        )


def collect(paths: Sequence[Path], hashes: Sequence[str], manifest: Path | None) -> Collection:
    """Read everything named. Raises typer.Exit on wrong usage, before reading any file."""
    collected = Collection(hashes=[_hash(text) for text in hashes])
    folders = [path for path in paths if path.is_dir()]
    places = _manifest_places(folders, manifest)
    named = [Source(path, _size(path), named=True) for path in paths if path not in folders]
    hashed, unreadable = hash_all(named)
    collected.files += hashed
    collected.unreadable += unreadable
    for folder, place in places.items():
        _collect_folder(collected, folder, place)
    return collected


def _collect_folder(collected: Collection, folder: Path, place: Path) -> None:
    found = find_files(folder)
    hashed, unreadable = hash_all(found.sources)
    content, unnamed = manifests.build(folder, hashed)
    collected.in_folders += hashed
    collected.skipped += found.skipped
    collected.unreadable += [*found.unreadable, *unreadable, *unnamed]
    collected.manifests.append(FolderManifest(folder, place, content))


def _manifest_places(folders: Sequence[Path], manifest: Path | None) -> dict[Path, Path]:
    if manifest is not None and len(folders) != 1:
        raise fail("--manifest is for one folder; stamp folders one at a time", USAGE)
    places = {folder: manifest or _beside(folder) for folder in folders}
    insides = [folder.resolve() for folder in folders]
    for place in places.values():
        real = place.parent.resolve() / place.name
        if any(real.is_relative_to(inside) for inside in insides):
            raise fail(
                f"the manifest {printable(str(place))} would lie inside a folder it describes; stamp"
                " folders one at a time, or name another place with --manifest",
                USAGE,
            )
    return places


def _beside(folder: Path) -> Path:
    # `.` and `..` have no name of their own.
    real = folder.resolve() if folder.name in {"", ".."} else folder
    if not real.name:
        raise fail("the root folder has nothing beside it; give --manifest FILE", USAGE)
    return real.with_name(real.name + manifests.SUFFIX)


def _hash(text: str) -> str:
    sha256 = parse_sha256(text)
    if sha256 is None:
        raise fail(
            f"--sha256 {printable(text)!r} is not 64 hexadecimal digits; name a file to have it hashed",
            USAGE,
        )
    return sha256


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # told when it is read
