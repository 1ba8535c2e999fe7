"""A mirror verifies at any moment: after a fault of the log, a full disk, a death at any act."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.fake_log import StaticServer, checkpoint, log_files, some, static_server
from tests.support.signer import LOG, WITNESS
from tests.unit.follow.test_monitor import MISBEHAVIOUR

from proof.core.errors import ConflictError, InvalidInputError
from proof.follow.faults import LogFaultError
from proof.follow.files import alone_in
from proof.follow.mirror import Mirror, Update
from proof.follow.remote import Patience, RemoteLog, connection
from proof.follow.trust import trust_of
from proof.verify.evidence.log import note

KEYS = f"{LOG.text}\n{WITNESS.text}\n".encode()
PATIENCE = Patience(timeout_s=20, attempts=1)


@pytest.fixture
def static() -> Iterator[StaticServer]:
    with static_server(log_files(some(300))) as found:
        yield found


async def mirrored(static: StaticServer, folder: Path, *, check: bool = False) -> Update:
    async with connection() as session:
        source = RemoteLog(session, static.url, PATIENCE)
        return await Mirror(source, trust_of(None, [KEYS]), folder).update(check=check)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def require_whole(folder: Path, sizes: Sequence[int]) -> int:
    """The size of the log in the folder, one of those given; all that its checkpoint needs is there."""
    there = content(folder)
    size = int(there["checkpoint"].split(b"\n")[1])
    assert size in sizes
    for path, expected in log_files(some(size)).items():
        assert there[path] == expected, path
    return size


async def test_it_is_the_log_file_by_file(static: StaticServer, tmp_path: Path) -> None:
    sizes = (0, 1, 2, 255, 256, 257, 300, 300, 511, 512, 700)
    before = 0
    for size in sizes:
        static.files = log_files(some(size))
        update = await mirrored(static, tmp_path)
        assert (update.size_before, update.signed.size) == (before, size)
        require_whole(tmp_path, [size])
        before = size
    # Partial tiles stay until their full ones are there: a checkpoint of theirs may still be held.
    partial = {path for path in content(tmp_path) if ".p/" in path}
    assert partial == {
        *("tile/0/002.p/188", "tile/entries/002.p/188"),
        *(f"tile/1/000.p/{width}" for width in (1, 2)),
    }


async def test_only_what_is_new_is_fetched(static: StaticServer, tmp_path: Path) -> None:
    static.files = log_files(some(700))
    await mirrored(static, tmp_path)
    static.asked.clear()
    static.files = log_files(some(701))
    update = await mirrored(static, tmp_path)
    assert sorted(static.asked) == [
        *("checkpoint", "tile/0/002.p/189", "tile/1/000.p/2", "tile/entries/002.p/189"),
    ]
    assert update.files == 2
    static.asked.clear()
    assert (await mirrored(static, tmp_path)).files == 0
    assert static.asked == ["checkpoint"]


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_what_does_not_verify_is_never_written(
    static: StaticServer, tmp_path: Path, name: str
) -> None:
    change, expected = MISBEHAVIOUR[name]
    await mirrored(static, tmp_path)
    change(static.files)
    with pytest.raises(LogFaultError) as found:
        await mirrored(static, tmp_path)
    assert found.value.fault is expected
    assert require_whole(tmp_path, [300]) == 300
    right = log_files(some(300)) | log_files(some(700))
    for path, raw in content(tmp_path).items():
        assert path == "checkpoint" or raw == right[path], path


@pytest.mark.parametrize("size", [None, 300])
async def test_it_verifies_whenever_it_dies(
    static: StaticServer, tmp_path: Path, size: int | None
) -> None:
    base, copies, keys = tmp_path / "base", tmp_path / "copies", tmp_path / "keys"
    keys.write_bytes(KEYS)
    base.mkdir()
    if size is not None:
        await mirrored(static, base)
    static.files = log_files(some(600))
    program = [sys.executable, "-m", "tests.support.kill_points"]
    await asyncio.to_thread(
        subprocess.run,
        [*program, static.url, str(keys), str(base), str(copies)],
        check=True,
    )
    died = sorted(copies.iterdir(), key=lambda path: int(path.name))
    assert len(died) > 20
    found = [
        require_whole(folder, [300, 600]) if (folder / "checkpoint").exists() else None
        for folder in died
    ]
    changed = found.index(600)
    assert found == [size] * changed + [600] * (len(died) - changed), "the checkpoint comes last"
    assert changed > 0
    for folder in died:
        await mirrored(static, folder)
        require_whole(folder, [600])
        assert not [path for path in content(folder) if ".proof-" in path]


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """No file can be made longer, as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_mirror_as_it_was(
    static: StaticServer, tmp_path: Path
) -> None:
    await mirrored(static, tmp_path)
    static.files = log_files(some(700))
    with files_up_to(7000), pytest.raises(OSError, match="File too large"):
        await mirrored(static, tmp_path)
    assert require_whole(tmp_path, [300]) == 300
    assert not [path for path in content(tmp_path) if ".proof-" in path]
    await mirrored(static, tmp_path)
    require_whole(tmp_path, [700])


async def test_a_damaged_mirror_is_mended_by_a_check(static: StaticServer, tmp_path: Path) -> None:
    static.files = log_files(some(700))
    await mirrored(static, tmp_path)
    for path in ("tile/0/000", "tile/entries/001", "tile/1/000.p/2", "tile/entries/002.p/188"):
        (tmp_path / path).write_bytes(b"damaged")
    (tmp_path / "tile/0/001").unlink()
    update = await mirrored(static, tmp_path, check=True)
    assert update.files == 5
    require_whole(tmp_path, [700])


async def test_a_folder_is_one_logs_and_one_processs(static: StaticServer, tmp_path: Path) -> None:
    await mirrored(static, tmp_path)
    with alone_in(tmp_path), pytest.raises(ConflictError, match="another process works in"):
        await mirrored(static, tmp_path)
    (tmp_path / "checkpoint").write_bytes(checkpoint(some(3), origin="other.example/log"))
    with pytest.raises(InvalidInputError, match=r"mirrors other\.example/log"):
        await mirrored(static, tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"a page")
    with pytest.raises(InvalidInputError, match="is no checkpoint"):
        await mirrored(static, tmp_path)


async def test_a_size_without_end_is_no_work_without_end(
    static: StaticServer, tmp_path: Path
) -> None:
    """Whoever has the key can sign any size, with one hash as all its unfinished tiles."""
    body = note.checkpoint_body(LOG.name, 256**7, bytes(32))
    signed = note.signed_note(body, [LOG.line(body), WITNESS.line(body)])
    static.files = {"checkpoint": signed, "tile/7/000.p/1": bytes(32)}
    with pytest.raises(LogFaultError, match="tile/6/000 is missing"):
        await mirrored(static, tmp_path)


async def test_what_a_crash_left_is_swept(static: StaticServer, tmp_path: Path) -> None:
    await mirrored(static, tmp_path)
    static.files = log_files(some(600))
    await mirrored(static, tmp_path)
    left = tmp_path / "tile/0/001.p/44"
    left.parent.mkdir()
    left.write_bytes(b"left")
    (tmp_path / "tile/.proof-0123.tmp").write_bytes(b"half")
    await mirrored(static, tmp_path)
    assert set(content(tmp_path)) == set(log_files(some(600))) | {"tile/1/000.p/1"}
