"""Starts initdb and postgres: the command lines, the user, the descriptors they inherit."""

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from proof.db.embedded import launch
from proof.db.embedded.folders import (
    ClusterFolders,
    Handover,
    make_cluster_folder,
    make_socket_folder,
    open_log,
    write_access_rules,
)
from proof.db.embedded.identity import ServerIdentity
from proof.db.embedded.passwords import scram_verifier, sync_folder
from proof.db.embedded.provision import SUPERUSER

MIB = 1024 * 1024
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

# Nothing of our own environment: PGDATA, PGOPTIONS or a locale would change what is started.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One PostgreSQL setting: its name, its value as PostgreSQL reads it, and why."""

    name: str
    value: str
    reason: str


SETTINGS: tuple[Setting, ...] = (
    Setting("listen_addresses", "", "no network port: the Unix socket is the only way in"),
    Setting("port", "5432", "only a part of the socket's name"),
    Setting("unix_socket_permissions", "0700", "the folder is closed already; so is the socket"),
    Setting("password_encryption", "scram-sha-256", "no role can be given a weaker verifier"),
    Setting("max_connections", "100", "two pools a process and an operator's psql fit many times"),
    Setting("synchronous_commit", "on", "an acknowledged hash has reached the disk"),
    Setting("full_page_writes", "on", "a page torn by a power cut can be repaired"),
    Setting(
        "wal_compression", "off", "hashes do not compress: pglz took 3.6 times as long for nothing"
    ),
    Setting("max_wal_size", "4GB", "rare checkpoints: random index pages are logged whole less"),
    Setting("min_wal_size", "512MB", "recycled segments need no zero-filling under load"),
    Setting("checkpoint_timeout", "15min", "the same; recovery replays at most this much"),
    Setting("idle_in_transaction_session_timeout", "30s", "a frozen process gives its locks back"),
    Setting("client_connection_check_interval", "10s", "a killed client's query is given up"),
    Setting("max_parallel_workers_per_gather", "0", "containers have 64 MB of shared /dev/shm"),
    Setting("max_parallel_maintenance_workers", "0", "the same for index builds"),
    Setting("jit", "off", "short statements never earn its compile time back"),
    Setting("random_page_cost", "1.1", "solid-state disks read anywhere at nearly one price"),
    Setting("timezone", "UTC", "every stored and logged time is UTC"),
    Setting("log_timezone", "UTC", "every stored and logged time is UTC"),
    Setting("log_line_prefix", "%m [%p] %q%u@%d ", "time, process, role and database"),
    Setting("log_error_verbosity", "terse", "details would copy row values into the log"),
    Setting("log_statement", "none", "statements can hold what a log must not"),
    Setting("logging_collector", "off", "the supervisor owns the log file and its size"),
)


def server_settings(memory_bytes: int) -> tuple[Setting, ...]:
    """Return every setting for a machine with ``memory_bytes`` of RAM.

    Shared buffers are an eighth of the memory
    within 512 MiB to 1 GiB (below that the index no longer stays in memory at ten million rows),
    but never over a quarter of it; 16 MiB is the floor.
    """
    quarter = memory_bytes // 4
    buffers = max(min(max(memory_bytes // 8, 512 * MIB), 1024 * MIB, quarter), 16 * MIB)
    maintenance = max(min(256 * MIB, memory_bytes // 16), 16 * MIB)
    cache = max(memory_bytes // 2, buffers)
    return (
        *SETTINGS,
        Setting("shared_buffers", _mib(buffers), "the primary key's hot pages stay in memory"),
        Setting("effective_cache_size", _mib(cache), "what the kernel caches besides"),
        Setting("maintenance_work_mem", _mib(maintenance), "index builds sort in memory"),
    )


def current_settings() -> tuple[Setting, ...]:
    """Return the settings that a start on this machine would use now."""
    return server_settings(_machine_memory_bytes())


def _machine_memory_bytes() -> int:
    """Return the RAM this process may use: the machine's, or its container's limit if lower."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _CGROUP_LIMITS:
        try:
            memory = min(memory, int(limit.read_text()))
        except (OSError, ValueError):  # another cgroup version, or "max"
            continue
    return memory


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // MIB}MB"


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """An installation and the user its programs run as."""

    installation: Path
    identity: ServerIdentity

    def initialise(self, folders: ClusterFolders, password: str, server_lock: int) -> int:
        """Run initdb into a temporary folder and rename it; return initdb's exit code.

        Stopped anywhere before the rename, the next start begins anew. The server sees the
        superuser's verifier, never the password.
        """
        make_cluster_folder(folders.unfinished_cluster, self.identity)
        with ExitStack() as stack:
            handover = Handover(self.identity, stack)
            handover.lend(server_lock)
            arguments = (
                f"--pgdata={handover.name(folders.unfinished_cluster)}",
                f"--pwfile={handover.lend(self._password_file(password, stack))}",
                f"--username={SUPERUSER}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--data-checksums",
            )
            process = self._spawn("initdb", arguments, handover, folders.log)
            stack.callback(_end, process)
            code = process.wait()
        if code == 0:
            folders.unfinished_cluster.rename(folders.cluster)
            sync_folder(folders.home)
        return code

    def serve(self, folders: ClusterFolders, server_lock: int) -> "subprocess.Popen[bytes]":
        """Start postgres on an initialised cluster that no process holds any more.

        The caller holds the server lock, so pid file and socket can only be left-overs.
        """
        (folders.cluster / "postmaster.pid").unlink(missing_ok=True)
        make_socket_folder(folders.socket, self.identity)
        write_access_rules(folders.cluster, self.identity)
        with ExitStack() as stack:
            handover = Handover(self.identity, stack)
            handover.lend(server_lock)
            arguments = (
                "-D",
                handover.name(folders.cluster),
                "-c",
                f"unix_socket_directories={_list_item(handover.name(folders.socket))}",
                *(
                    part
                    for setting in current_settings()
                    for part in ("-c", f"{setting.name}={setting.value}")
                ),
            )
            return self._spawn("postgres", arguments, handover, folders.log)

    def _password_file(self, password: str, stack: ExitStack) -> int:
        """A file in memory only, which the server's user alone may open."""
        descriptor = os.memfd_create("superuser-verifier")
        stack.callback(os.close, descriptor)
        os.write(descriptor, scram_verifier(password).encode("ascii") + b"\n")
        os.fchmod(descriptor, 0o400)
        if self.identity.is_another_user:
            os.fchown(descriptor, self.identity.uid, self.identity.gid)
        return descriptor

    def _spawn(
        self, program: str, arguments: tuple[str, ...], handover: Handover, log: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a direct child in a session of its own: Ctrl-C is for us, who stop it in order."""
        with open_log(log) as output:
            return subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", launch.__file__),
                    *map(str, (os.getpid(), self.identity.uid, self.identity.gid)),
                    str(self.installation / "bin" / program),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=handover.descriptors,
                start_new_session=True,
            )


def _list_item(path: str) -> str:
    """Quote for a list-valued setting, where commas and spaces would part the path."""
    return '"' + path.replace('"', '""') + '"'


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
