"""Where the cluster's files are, and how a server that may not walk there opens them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from proof.db.embedded.errors import SocketPathTooLongError
from proof.db.embedded.identity import ServerIdentity

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7) is 108 bytes with its final NUL
MAX_LOG_BYTES = 16 * 1024 * 1024

_HBA = """\
# Written at every start. The socket is the only way in, a password the only key.
local all all scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class ClusterFolders:
    """The paths of a cluster below ``data_dir``, which must be absolute."""

    data_dir: Path

    @property
    def passwords(self) -> Path:
        return self.data_dir / "keys" / "postgresql.json"

    @property
    def socket(self) -> Path:
        """Directly in the data folder, since every byte of its path counts."""
        return self.data_dir / "pgsocket"

    @property
    def home(self) -> Path:
        """The supervisor's own folder; the server's user needs no right in it."""
        return self.data_dir / "postgresql"

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def unfinished_cluster(self) -> Path:
        return self.home / "cluster.new"

    @property
    def supervisor_lock(self) -> Path:
        return self.home / "supervisor.lock"

    @property
    def server_lock(self) -> Path:
        return self.home / "server.lock"

    @property
    def log(self) -> Path:
        return self.home / "postgresql.log"

    def create(self) -> None:
        """Make the folders that are missing, 0700 each; leave the others as they are."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.mkdir(mode=0o700, exist_ok=True)


def require_short_socket_path(folder: Path) -> None:
    """Raise SocketPathTooLongError unless the socket in ``folder`` can be addressed."""
    path = folder / SOCKET_NAME
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise SocketPathTooLongError(
            f"the database socket {path} would have {length} bytes, the system allows "
            f"{MAX_SOCKET_PATH_BYTES}: choose a data folder whose path is at least "
            f"{length - MAX_SOCKET_PATH_BYTES} bytes shorter (--data or PROOF_DATA_DIR)"
        )


def make_cluster_folder(folder: Path, identity: ServerIdentity) -> None:
    """Make ``folder`` anew: empty, 0700, the server's. What was there is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    _make_server_folder(folder, identity)


def make_socket_folder(folder: Path, identity: ServerIdentity) -> None:
    """Make ``folder`` 0700 and the server's, without the socket of an earlier server."""
    _make_server_folder(folder, identity)
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (folder / name).unlink(missing_ok=True)


def _make_server_folder(folder: Path, identity: ServerIdentity) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)  # a folder restored from a backup may have been opened
    if identity.is_another_user:
        os.chown(folder, identity.uid, identity.gid)


def write_access_rules(cluster: Path, identity: ServerIdentity) -> None:
    """Replace pg_hba.conf. Never follows a link that the server's user may have put there."""
    file = cluster / "pg_hba.conf"
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(_HBA)
        if identity.is_another_user:
            os.fchown(descriptor, identity.uid, identity.gid)


@contextmanager
def open_log(log: Path) -> Iterator[int]:
    """Yield a descriptor that appends to ``log`` (0600)."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def limit_log(log: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Once ``log`` exceeds ``max_bytes``, move what it holds to ``<log>.1`` and empty it.

    The server keeps appending to the same file; lines written between copy and cut are lost.
    """
    if log.exists() and log.stat().st_size > max_bytes:
        previous = log.with_name(log.name + ".1")
        previous.unlink(missing_ok=True)
        previous.touch(mode=0o600)
        shutil.copyfile(log, previous)
        os.truncate(log, 0)


class Handover:
    """Names of folders as the server can open them, and the descriptors it must inherit.

    A server of our own user gets plain paths. Another user's gets ``/proc/self/fd/N``: the kernel
    follows such a name to the open folder at once, so the folders above need not let it through.
    """

    def __init__(self, identity: ServerIdentity, stack: ExitStack) -> None:
        self._by_descriptor = identity.is_another_user
        self._stack = stack
        self.descriptors: list[int] = []

    def name(self, folder: Path) -> str:
        if not self._by_descriptor:
            return str(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack.callback(os.close, descriptor)
        return self.lend(descriptor)

    def lend(self, descriptor: int) -> str:
        """Let the server inherit ``descriptor``; return a path under which it can open it."""
        self.descriptors.append(descriptor)
        return f"/proc/self/fd/{descriptor}"
