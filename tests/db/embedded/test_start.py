"""Starting: new and existing folders, odd paths, and everything that must be refused."""

import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from tests.db.embedded.conftest import Supervise
from tests.db.embedded.sessions import query

from proof.db.embedded import (
    ClusterBusyError,
    ClusterStartError,
    EmbeddedCluster,
    KeysExposedError,
    KeysMissingError,
    OrphanedServerError,
    SocketPathTooLongError,
)
from proof.db.embedded.folders import limit_log
from proof.db.embedded.locks import acquire_lock
from proof.db.embedded.passwords import create_passwords, read_passwords
from proof.db.embedded.server import ServerPrograms


def test_starts_below_a_closed_folder_stops_and_starts_again(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cluster = EmbeddedCluster(closed / "data")
    with cluster.start() as running:
        query(cluster.connection("owner"), "CREATE TABLE kept AS SELECT 7 AS n")
        assert running.poll() is None
        assert cluster.is_running()
    assert running.process.returncode == 0
    assert not cluster.is_running()
    with cluster.start():
        assert query(cluster.connection("owner"), "SELECT n FROM kept") == [7]
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["a space", 'it\'s "it", ü', "-c x=%d\\"])
def test_starts_in_a_folder_with_an_odd_name(name: str) -> None:
    # tmp_path may leave too little of a socket path's 107 bytes.
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        _require_a_start_in(Path(folder) / name)


def _require_a_start_in(folder: Path) -> None:
    cluster = EmbeddedCluster(folder)
    with cluster.start():
        assert query(cluster.connection("app"), "SELECT current_user::text") == ["proof_app"]


def test_a_relative_folder_is_fixed_when_the_object_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster = EmbeddedCluster(Path("data"))
    monkeypatch.chdir("/")
    with cluster.start():
        assert cluster.connection("app").host == str(tmp_path / "data" / "pgsocket")


def test_a_path_is_refused_from_108_bytes_on(tmp_path: Path) -> None:
    fixed = len(os.fsencode(tmp_path / "x" / "pgsocket" / ".s.PGSQL.5432")) - 1
    longest = tmp_path / ("ä" * ((107 - fixed) // 2) + "x" * ((107 - fixed) % 2))
    with EmbeddedCluster(longest).start() as running:
        assert running.poll() is None
    too_long = longest.with_name(longest.name + "y")
    with pytest.raises(SocketPathTooLongError, match=r"108 bytes.* 107.*--data") as refusal:
        EmbeddedCluster(too_long).start()
    assert str(too_long) in str(refusal.value)
    assert not too_long.exists()


def test_a_second_proof_on_the_same_folder_is_refused(tmp_path: Path, supervise: Supervise) -> None:
    other = supervise(tmp_path / "data")
    other.server_pid()
    cluster = EmbeddedCluster(tmp_path / "data")
    assert cluster.is_running()
    with pytest.raises(ClusterBusyError, match="another Proof runs on"):
        cluster.start()
    assert query(cluster.connection("app"), "SELECT 1") == [1]
    assert other.stop() == 0
    assert not cluster.is_running()


@pytest.mark.parametrize(("opened", "command"), [("keys", "700"), ("keys/postgresql.json", "600")])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, opened: str, command: str) -> None:
    create_passwords(tmp_path / "keys" / "postgresql.json")
    (tmp_path / opened).chmod(0o740)
    cluster = EmbeddedCluster(tmp_path)
    with pytest.raises(KeysExposedError, match=f"chmod {command} {tmp_path / opened}"):
        cluster.start()
    with pytest.raises(KeysExposedError):
        cluster.connection("app")
    assert not (tmp_path / "postgresql" / "cluster").exists()
    (tmp_path / opened).chmod(int(command, 8))
    with cluster.start() as running:
        assert running.poll() is None


def test_lost_or_foreign_keys_are_told_apart(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(tmp_path)
    with pytest.raises(KeysMissingError, match="start Proof"):
        cluster.connection("app")
    cluster.start().stop()
    file = tmp_path / "keys" / "postgresql.json"
    file.unlink()
    with pytest.raises(KeysMissingError, match="restore it from a backup"):
        cluster.start()
    create_passwords(file)
    with pytest.raises(ClusterStartError, match="does not belong to this cluster"):
        cluster.start()
    file.write_text('{"superuser": 1}')
    with pytest.raises(KeysMissingError, match="does not hold"):
        cluster.start()
    assert not cluster.is_running()


def test_a_killed_initdb_leaves_nothing_half_made(tmp_path: Path) -> None:
    half_made = tmp_path / "postgresql" / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18")
    with EmbeddedCluster(tmp_path).start() as running:
        assert running.poll() is None
    assert not half_made.exists()


def test_a_server_that_ends_shows_its_log(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(tmp_path)
    cluster.start().stop()
    (tmp_path / "postgresql" / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(ClusterStartError, match="could not find the database system"):
        cluster.start()
    assert not cluster.is_running()


def test_processes_that_keep_holding_the_cluster_are_reported(tmp_path: Path) -> None:
    (tmp_path / "postgresql").mkdir()
    held = acquire_lock(tmp_path / "postgresql" / "server.lock", timeout_s=0)
    assert held is not None
    with pytest.raises(OrphanedServerError, match="fuser"):
        EmbeddedCluster(tmp_path).start(orphan_timeout_s=0.05)
    os.close(held)


def test_passwords_reach_neither_command_lines_nor_environments_nor_the_log(tmp_path: Path) -> None:
    seen: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.add((process / name).read_bytes())
                    except OSError:
                        continue  # it ended meanwhile

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with EmbeddedCluster(tmp_path).start():
            pass
        for number in range(20):
            # Between two looks of the watcher a whole initdb may run.
            if any(b"initdb" in each for each in set(seen)):
                break
            EmbeddedCluster(tmp_path / str(number)).start().stop()
    finally:
        done.set()
        watcher.join()
    passwords = read_passwords(tmp_path / "keys" / "postgresql.json")
    log = (tmp_path / "postgresql" / "postgresql.log").read_bytes()
    public = b"\n".join([*seen, log])
    assert b"initdb" in public
    assert b"unix_socket_directories" in public
    for secret in (passwords.superuser, passwords.owner, passwords.app, "SCRAM-SHA-256$"):
        assert secret.encode() not in public


def test_an_existing_cluster_starts_without_initdb_or_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = EmbeddedCluster(tmp_path)
    cluster.start().stop()
    monkeypatch.delattr(ServerPrograms, "initialise")
    cluster.start().stop()
    log = (tmp_path / "postgresql" / "postgresql.log").read_text()
    assert log.count("database system is ready to accept connections") == 2
    assert "recovery" not in log


def test_a_log_over_its_limit_is_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    log.write_bytes(b"x" * 100)
    limit_log(log, max_bytes=100)
    assert log.stat().st_size == 100
    limit_log(log, max_bytes=99)
    moved = tmp_path / "postgresql.log.1"
    assert (log.stat().st_size, moved.stat().st_size) == (0, 100)
    assert moved.stat().st_mode & 0o077 == 0


def test_a_copy_of_the_folder_is_a_cluster_of_its_own(tmp_path: Path) -> None:
    EmbeddedCluster(tmp_path / "a").start().stop()
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("pgsocket"))
    for path in (tmp_path / "a").rglob("*"):
        if (copy := tmp_path / "b" / path.relative_to(tmp_path / "a")).exists():
            os.chown(copy, path.stat().st_uid, path.stat().st_gid)
    with EmbeddedCluster(tmp_path / "a").start(), EmbeddedCluster(tmp_path / "b").start():
        for name in ("a", "b"):
            app = EmbeddedCluster(tmp_path / name).connection("app")
            assert query(app, "SELECT 1") == [1]
