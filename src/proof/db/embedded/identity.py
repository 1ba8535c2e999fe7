"""The user PostgreSQL runs as. It refuses root, so a Proof run by root borrows another user."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from proof.db.embedded.errors import ServerUserError

DEDICATED_USER = "proof-postgres"
_CANDIDATES = ("postgres", DEDICATED_USER)
_USERADD_OPTIONS = ("--system", "--no-create-home", "--home-dir=/nonexistent")
_USERADD_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Numeric user and group of the server's processes and files."""

    uid: int
    gid: int

    @property
    def is_another_user(self) -> bool:
        """Whether the server runs as somebody else than this process."""
        return self.uid != os.geteuid()


def server_identity(cluster: Path, candidates: tuple[str, ...] = _CANDIDATES) -> ServerIdentity:
    """Return whom PostgreSQL runs as: ourselves, unless we are root.

    For root: the owner of an existing ``cluster`` folder, or the first of ``candidates`` that the
    system knows, or the last of them created as a system user. Raises ServerUserError when it
    cannot be created.
    """
    if os.geteuid() != 0:
        return ServerIdentity(os.geteuid(), os.getegid())
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return ServerIdentity(owner.st_uid, owner.st_gid)
    for name in candidates:
        if (found := _find_user(name)) is not None:
            return found
    return _create_user(candidates[-1])


def _find_user(name: str) -> ServerIdentity | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServerIdentity(entry.pw_uid, entry.pw_gid)


def _create_user(name: str) -> ServerIdentity:
    remedy = (
        "PostgreSQL refuses to run as root and there is no user for it: run Proof as an ordinary "
        f"user, or create the system user {name!r}"
    )
    search_path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    program = shutil.which("useradd", path=search_path)
    if program is None:
        raise ServerUserError(f"{remedy} (useradd is not installed)")
    shell = shutil.which("nologin", path=search_path) or "/bin/false"
    result = subprocess.run(
        [program, *_USERADD_OPTIONS, f"--shell={shell}", name],
        capture_output=True,
        text=True,
        timeout=_USERADD_TIMEOUT_S,
    )
    created = _find_user(name)
    if created is None:
        raise ServerUserError(
            f"{remedy} (useradd: {result.stderr.strip() or 'no such user after it'})"
        )
    return created
