"""What is hashed, what is left out, and that nothing is followed or waited for."""

import os
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest

from proof.cli.proofs.hashing import (
    HashedFile,
    Problem,
    Source,
    find_files,
    hash_all,
    hash_file,
    parse_sha256,
)


def nothing(_step: int) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "sub" / ".hidden").mkdir(parents=True)
    (root / "b").write_bytes(b"b")
    (root / "a").write_bytes(b"")
    (root / "sub" / ".hidden" / "c").write_bytes(b"c" * 3_000_000)
    (root / "link").symlink_to("b")
    (root / "loop").symlink_to(".", target_is_directory=True)
    os.mkfifo(root / "pipe")
    return root


def test_finds_regular_files_in_order(folder: Path) -> None:
    found = find_files(folder)
    assert [(s.path.relative_to(folder).as_posix(), s.size) for s in found.sources] == [
        ("a", 0),
        ("b", 1),
        ("sub/.hidden/c", 3_000_000),
    ]
    assert [(p.path.name, p.reason) for p in found.skipped] == [
        ("link", "a symbolic link"),
        ("loop", "a symbolic link"),
        ("pipe", "not a regular file"),
    ]
    assert not found.unreadable


def test_hashes_are_of_the_content(folder: Path) -> None:
    hashed, unreadable = hash_all(find_files(folder).sources)
    assert not unreadable
    assert [(file.sha256, file.size) for file in hashed] == [
        (sha256(file.path.read_bytes()).hexdigest(), file.path.stat().st_size) for file in hashed
    ]


def test_unreadable_folder_and_file_are_told(tmp_path: Path) -> None:
    assert find_files(tmp_path / "gone").unreadable[0].reason == "No such file or directory"
    # Opens, and fails on the first read, for root too.
    sources = [Source(Path("/proc/self/mem"), 0), Source(Path(__file__), 1)]
    hashed, unreadable = hash_all(sources)
    assert [file.path for file in hashed] == [Path(__file__)]
    assert [(p.path, p.reason) for p in unreadable] == [
        (Path("/proc/self/mem"), "Input/output error")
    ]


@pytest.mark.parametrize("name", ["link", "pipe", "sub"])
def test_what_took_a_files_place_is_not_read(folder: Path, name: str) -> None:
    assert isinstance(hash_file(Source(folder / name, 1), nothing, Event()), Problem)


def test_a_link_named_by_its_user_is_followed(folder: Path) -> None:
    found = hash_file(Source(folder / "link", 1, named=True), nothing, Event())
    assert found == HashedFile(folder / "link", 1, sha256(b"b").hexdigest())


def test_size_is_of_what_was_read_not_of_what_was_seen(folder: Path) -> None:
    found = hash_file(Source(folder / "b", 999), nothing, Event())
    assert isinstance(found, HashedFile)
    assert found.size == 1


def test_interrupted_hash_is_no_hash(folder: Path) -> None:
    stop = Event()
    source = Source(folder / "sub" / ".hidden" / "c", 1)
    outcome = hash_file(source, lambda _step: stop.set(), stop)
    assert outcome == Problem(source.path, "interrupted")


def test_advances_by_the_bytes_read(folder: Path) -> None:
    steps: list[int] = []
    hash_file(Source(folder / "sub" / ".hidden" / "c", 1), steps.append, Event())
    assert sum(steps) == 3_000_000
    assert len(steps) > 1


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", "٣" * 64])
def test_other_text_is_no_sha256(text: str) -> None:
    assert parse_sha256(text) is None


def test_sha256_is_lowered() -> None:
    assert parse_sha256("AB" * 32) == "ab" * 32
