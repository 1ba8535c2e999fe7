"""`proof serve`: the embedded database, HTTP processes and a worker, kept running and stopped in order.

On SIGTERM or SIGINT the HTTP processes finish what they accepted, then the worker finishes what it
started, then the database stops. A process that ends by itself is started again. If this process is
killed, the kernel ends the others.
"""

import asyncio
import errno
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from proof.config import Settings, SettingsError
from proof.config.settings import default_processes
from proof.db.embedded import RunningCluster
from proof.main.events import configure_logging
from proof.main.parts.database import await_database, started
from proof.main.parts.keys import key_variable, usable_folder
from proof.main.server.apart import Apart, end_with_parent
from proof.main.server.process import command as command_of
from proof.partners.types import Environment

_PARENT = "PROOF_SUPERVISOR_PID"
METRICS = "metrics"
"""The folder in the data folder where HTTP processes keep their counters."""

_STOP_S = 40.0
_RESTART_PAUSE_S = 1.0
# How often the size of the database's log is looked at; of the end of a process the kernel tells.
_POLL_S = 1.0

_log = structlog.get_logger()


@dataclass
class _Child:
    command: str
    process: "subprocess.Popen[bytes]"
    started_at: float


class Supervisor:
    """Starts the processes of one Proof and watches over them."""

    def __init__(self, settings: Settings, announce: Callable[[Settings], None]) -> None:
        self._settings = settings
        self._announce = announce
        self._stopping = False
        self._children: list[_Child] = []
        self._preparing: Apart[bool] | None = None

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        configure_logging()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with reserved_port(self._settings) as port, started(self._settings) as cluster:
            settings = msgspec.structs.replace(self._settings, port=port)
            if not self._prepared(settings):
                return 0
            environment = _environment(settings)
            count = settings.processes or default_processes()
            self._children = [_start(name, environment) for name in ["api"] * count + ["worker"]]
            self._announce(settings)
            try:
                return self._watch(cluster, environment)
            finally:
                self._stop_children("api")
                self._stop_children("worker")

    def _prepared(self, settings: Settings) -> bool:
        """Whether to go on. What prepares is a copy of this process, whose memory ends with it: what
        migrations import is a third of all that stays otherwise."""
        with Apart(lambda: asyncio.run(self._prepare(settings))) as copy:
            self._preparing = copy
            try:
                # A signal before this line reached this process alone.
                if self._stopping:
                    copy.terminate()
                return copy.answer()
            finally:
                self._preparing = None

    async def _prepare(self, settings: Settings) -> bool:
        # In the copy alone.
        from proof.main.server.preparation import prepare

        if not await await_database(settings, lambda: self._stopping):
            return False
        await prepare(settings)
        return True

    def _watch(self, cluster: RunningCluster | None, environment: dict[str, str]) -> int:
        with waiting_for_signals() as wait:
            while not self._stopping:
                wait(_POLL_S)
                if cluster is not None and cluster.poll() is not None:
                    _log.error("postgresql.ended", code=cluster.poll())
                    return 1
                self._children = [self._alive(child, environment) for child in self._children]
        return 0

    def _alive(self, child: _Child, environment: dict[str, str]) -> _Child:
        code = child.process.poll()
        if code is None or self._stopping:
            return child
        if time.monotonic() - child.started_at < _RESTART_PAUSE_S:
            return child
        _log.error("process.ended", command=child.command, code=code, restarting=True)
        return _start(child.command, environment)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        if self._preparing is not None:
            self._preparing.terminate()

    def _stop_children(self, command: str) -> None:
        stopping = [child.process for child in self._children if child.command == command]
        for process in stopping:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in stopping:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def waiting_for_signals() -> Iterator[Callable[[float], None]]:
    """Waits that any signal with a handler ends, and the end of a child."""
    reading, writing = socket.socketpair()
    with reading, writing:
        for end in (reading, writing):
            end.setblocking(False)
        handler = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

        def wait(timeout_s: float) -> None:
            if select.select([reading], [], [], timeout_s)[0]:
                reading.recv(4096)

        try:
            yield wait
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGCHLD, handler)


def end_with_supervisor() -> None:
    """In a child of `proof serve`: be told to stop when it is gone, even by SIGKILL."""
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    end_with_parent(int(parent))


def allow_files() -> None:
    """Every connection is a file, and a call to a name whose addresses all hang is eight: take as many as
    the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def reserved_port(settings: Settings) -> Iterator[int]:
    """The port to serve on, kept for our processes; port 0 picks a free one.

    Raises SettingsError when somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    port = settings.port
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, port))
        except (OSError, UnicodeError) as error:
            raise _not_ours(settings.host, port, error) from None
        port = probe.getsockname()[1]
    with listening_socket(settings.host, port) as reserved:
        yield reserved.getsockname()[1]


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket that shares its port with our other processes; the kernel spreads the callers.

    Raises SettingsError when somebody else listens there.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise _not_ours(host, port, error) from None
    return bound


def _not_ours(host: str, port: int, error: OSError | UnicodeError) -> SettingsError:
    if isinstance(error, UnicodeError):
        return SettingsError(f"cannot listen on {host!r}: it is no name of a host; choose --host")
    other = "another with --port" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "--host"
    return SettingsError(f"cannot listen on {host} port {port}: {error.strerror}; choose {other}")


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        **key_variable(settings),
        "PROMETHEUS_MULTIPROC_DIR": str(_empty_metrics_folder(settings)),
        "PROOF_DATA_DIR": str(settings.data_dir),
        "PROOF_HOST": settings.host,
        "PROOF_PORT": str(settings.port),
        "PROOF_PUBLIC_URL": settings.base_url(Environment.PRODUCTION),
        "PROOF_SANDBOX_PUBLIC_URL": settings.base_url(Environment.SANDBOX),
        _PARENT: str(os.getpid()),
    }


def _empty_metrics_folder(settings: Settings) -> Path:
    """Where the processes keep their counters, for whichever is asked; they begin anew with us."""
    folder = settings.data_dir / METRICS
    shutil.rmtree(folder, ignore_errors=True)
    with usable_folder(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
    return folder


def _start(command: str, environment: dict[str, str]) -> _Child:
    # A session of its own: Ctrl-C is for the supervisor, who stops the others in order.
    process = subprocess.Popen(command_of(command), env=environment, start_new_session=True)
    return _Child(command, process, time.monotonic())
