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
from proof.db.embedded.settings import current_settings

# Nothing of our own environment: PGDATA, PGOPTIONS or a locale would change what is started.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


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
                    for item in current_settings()
                    for part in ("-c", f"{item.name}={item.value}")
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
