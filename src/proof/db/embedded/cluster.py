"""Supervises the embedded PostgreSQL: one server, one data folder, one Proof at a time."""

import asyncio
import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import asyncpg

from proof.db.embedded.binaries import (
    SHARED_FOLDER,
    find_installation,
    reachable_installation,
)
from proof.db.embedded.errors import (
    ClusterBusyError,
    ClusterStartError,
    KeysMissingError,
    OrphanedServerError,
)
from proof.db.embedded.folders import (
    PORT,
    ClusterFolders,
    limit_log,
    require_short_socket_path,
)
from proof.db.embedded.identity import server_identity
from proof.db.embedded.locks import acquire_lock, is_locked
from proof.db.embedded.passwords import Passwords, create_passwords, read_passwords
from proof.db.embedded.provision import (
    APP,
    DATABASE,
    OWNER,
    SUPERUSER,
    ConnectionInfo,
    await_and_provision,
)
from proof.db.embedded.server import ServerPrograms

_BUSY_TIMEOUT_S = 0.5  # is_running() of another process holds the lock for an instant
_QUIT_TIMEOUT_S = 5.0
_LOG_TAIL_BYTES = 2000

Process = subprocess.Popen[bytes]


class RunningCluster:
    """A started server, a direct child of this process. Stop it, or leave the ``with`` block."""

    def __init__(self, process: Process, log: Path, supervisor_lock: ExitStack) -> None:
        self.process = process
        self._log = log
        self._supervisor_lock = supervisor_lock

    def poll(self) -> int | None:
        """Return the server's exit code, None while it runs. Call it now and then: it also keeps
        the log file within its limit."""
        limit_log(self._log)
        return self.process.poll()

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the server and free the folder; harmless when it has ended already.

        SIGINT, a fast shutdown that disconnects everybody and writes a checkpoint, has
        ``timeout_s``; then SIGQUIT, an immediate one, has five seconds; then SIGKILL. Committed
        data survives all three.
        """
        _stop_server(self.process, timeout_s)
        self._supervisor_lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class EmbeddedCluster:
    """The PostgreSQL cluster below ``data_dir``, on Linux. Making the object touches nothing."""

    def __init__(self, data_dir: Path) -> None:
        self._folders = ClusterFolders(data_dir.absolute())

    def start(self, orphan_timeout_s: float = 60.0) -> RunningCluster:
        """Start the server, creating the cluster first when there is none; return when it accepts
        connections, roles and database included.

        Waits for crash recovery as long as the server lives, and up to ``orphan_timeout_s`` for
        the server of a killed Proof to end. Blocks, and runs an event loop of its own: call it
        outside any loop. Call it from the main thread: the server gets SIGINT when the *thread*
        that started it ends (PR_SET_PDEATHSIG), also by SIGKILL of the process.

        Raises SocketPathTooLongError, KeysExposedError, KeysMissingError, ClusterBusyError,
        OrphanedServerError, ServerUserError, BinariesError, ClusterStartError.
        """
        require_short_socket_path(self._folders.socket)
        self._folders.create()
        with ExitStack() as locks:
            self._hold_folder(locks)
            passwords = self._passwords()
            with ExitStack() as server_lock:
                process = self._launch(passwords, self._server_lock(server_lock, orphan_timeout_s))
            try:
                self._await_ready(process, passwords)
            except BaseException:
                _stop_server(process, _QUIT_TIMEOUT_S)
                raise
            return RunningCluster(process, self._folders.log, locks.pop_all())

    def require_place(self) -> None:
        """Raise SocketPathTooLongError, KeysExposedError or KeysMissingError where `start` would.
        Creates nothing."""
        require_short_socket_path(self._folders.socket)
        if self.exists():
            self._passwords()

    def connection(self, role: Literal["owner", "app"]) -> ConnectionInfo:
        """Return how ``role`` connects; also for other processes of the user who runs Proof.

        Says nothing about whether the server runs. Raises KeysMissingError before the first start,
        KeysExposedError.
        """
        passwords = read_passwords(self._folders.passwords)
        if role == "owner":
            return self._connection(OWNER, passwords.owner, DATABASE)
        return self._connection(APP, passwords.app, DATABASE)

    def exists(self) -> bool:
        """Say whether this folder holds a cluster, or the passwords of one. Creates nothing."""
        return self._folders.passwords.exists() or self._folders.cluster.exists()

    def is_running(self) -> bool:
        """Say whether a Proof holds this folder: its server runs, starts or stops."""
        return is_locked(self._folders.supervisor_lock)

    def require_free(self) -> None:
        """Raise ClusterBusyError where a Proof holds this folder. Creates nothing."""
        if self.is_running():
            raise self._busy()

    def _busy(self) -> ClusterBusyError:
        return ClusterBusyError(
            f"another Proof runs on {self._folders.data_dir}: stop it, or choose another --data"
        )

    def _connection(self, user: str, password: str, database: str) -> ConnectionInfo:
        return ConnectionInfo(
            host=str(self._folders.socket),
            port=PORT,
            user=user,
            database=database,
            password=password,
        )

    def _hold_folder(self, locks: ExitStack) -> None:
        lock = acquire_lock(self._folders.supervisor_lock, _BUSY_TIMEOUT_S)
        if lock is None:
            raise self._busy()
        locks.callback(os.close, lock)

    def _server_lock(self, stack: ExitStack, timeout_s: float) -> int:
        lock = acquire_lock(self._folders.server_lock, timeout_s)
        if lock is None:
            raise OrphanedServerError(
                f"PostgreSQL processes of an earlier Proof still hold {self._folders.cluster} "
                f"after {timeout_s:g} s; find them with: fuser {self._folders.server_lock}"
            )
        stack.callback(os.close, lock)
        return lock

    def _passwords(self) -> Passwords:
        file = self._folders.passwords
        if file.exists():
            return read_passwords(file)
        if self._folders.cluster.exists():
            raise KeysMissingError(
                f"{file} is gone, and the cluster opens to nothing else: restore it from a backup"
            )
        return create_passwords(file)

    def _launch(self, passwords: Passwords, server_lock: int) -> Process:
        folders = self._folders
        identity = server_identity(folders.cluster)
        installation = reachable_installation(find_installation(), identity, SHARED_FOLDER)
        programs = ServerPrograms(installation, identity)
        limit_log(folders.log)
        if not folders.cluster.exists():
            code = programs.initialise(folders, passwords.superuser, server_lock)
            if code != 0:
                raise ClusterStartError(f"initdb ended with {code}:\n{_tail(folders.log)}")
        return programs.serve(folders, server_lock)

    def _await_ready(self, process: Process, passwords: Passwords) -> None:
        superuser = self._connection(SUPERUSER, passwords.superuser, "postgres")
        try:
            ready = asyncio.run(
                await_and_provision(superuser, passwords, lambda: process.poll() is None)
            )
        except asyncpg.InvalidPasswordError as error:
            raise ClusterStartError(
                f"{self._folders.passwords} does not belong to this cluster"
            ) from error
        if not ready:
            tail = _tail(self._folders.log)
            raise ClusterStartError(f"postgres ended with {process.returncode}:\n{tail}")


def _stop_server(process: Process, timeout_s: float) -> None:
    steps = (
        (signal.SIGINT, timeout_s),
        (signal.SIGQUIT, _QUIT_TIMEOUT_S),
        (signal.SIGKILL, None),
    )
    for step, patience_s in steps:
        process.send_signal(step)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        return


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        return stream.read().decode("utf-8", "replace")
