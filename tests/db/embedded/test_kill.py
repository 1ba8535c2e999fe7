"""What survives SIGKILL, and what must not survive it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.db.embedded.conftest import Supervise
from tests.db.embedded.sessions import query

from proof.db.embedded import EmbeddedCluster

DEADLINE_S = 120
INSERT = "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n"


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def test_the_server_ends_with_a_killed_supervisor(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise(tmp_path, INSERT)
    server = process.server_pid()
    process.kill()
    wait_until_gone(server)
    assert not EmbeddedCluster(tmp_path).is_running()
    with EmbeddedCluster(tmp_path).start():
        assert query(EmbeddedCluster(tmp_path).connection("owner"), "SELECT sum(n) FROM kept") == [
            500500
        ]


def test_a_start_waits_for_the_server_of_a_killed_supervisor(
    tmp_path: Path, supervise: Supervise
) -> None:
    process = supervise(tmp_path, INSERT)
    server = process.server_pid()
    os.kill(server, signal.SIGSTOP)  # it cannot act on the signal of its parent's death yet
    process.kill()
    waker = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -CONT {server}"])
    try:
        with EmbeddedCluster(tmp_path).start():
            assert is_gone(server)
            assert query(
                EmbeddedCluster(tmp_path).connection("owner"), "SELECT count(*) FROM kept"
            ) == [1000]
    finally:
        waker.wait()


def test_a_killed_server_recovers(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(tmp_path)
    running = cluster.start()
    query(cluster.connection("owner"), INSERT)
    running.process.kill()
    running.process.wait()
    assert running.poll() == -signal.SIGKILL
    assert cluster.is_running()  # the folder stays ours until we let go of it
    running.stop()
    assert (tmp_path / "pgsocket" / ".s.PGSQL.5432").is_socket()
    with cluster.start():
        assert query(cluster.connection("owner"), "SELECT count(*) FROM kept") == [1000]


def test_a_stale_pid_file_that_names_a_living_process_is_not_believed(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(tmp_path)
    running = cluster.start()
    running.process.kill()
    running.stop()
    pid_file = tmp_path / "postgresql" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    owner = pid_file.stat().st_uid
    with subprocess.Popen(["sleep", "3600"], user=owner if os.geteuid() == 0 else None) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        try:
            with cluster.start() as restarted:
                assert restarted.poll() is None
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_ignores_a_fast_shutdown_is_ended_harder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.db.embedded.cluster._QUIT_TIMEOUT_S", 0.1)
    cluster = EmbeddedCluster(tmp_path)
    running = cluster.start()
    query(cluster.connection("owner"), INSERT)
    os.kill(running.process.pid, signal.SIGSTOP)
    running.stop(timeout_s=0.1)
    assert running.process.returncode == -signal.SIGKILL
    with cluster.start():
        assert query(cluster.connection("owner"), "SELECT count(*) FROM kept") == [1000]
