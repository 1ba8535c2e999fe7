"""The high-water mark: what was signed stays known, whatever happens to the database."""

import os
from pathlib import Path

import pytest

from proof.timestamps.anchors.log.mark import (
    HighWaterMark,
    MarkUnreadableError,
    MarkUnwritableError,
    SignedHead,
)


def test_nothing_was_signed_at_first(tmp_path: Path) -> None:
    assert HighWaterMark(tmp_path, "production").read() == SignedHead(0, b"")


def test_the_last_write_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    mark = HighWaterMark(tmp_path / "keys", "production")
    for size in (1, 2, 70_000):
        mark.write(SignedHead(size, bytes([size % 256]) * 32))
        assert HighWaterMark(tmp_path / "keys", "production").read().size == size
    assert [file.name for file in (tmp_path / "keys").iterdir()] == ["production-log.json"]
    assert HighWaterMark(tmp_path / "keys", "sandbox").read().size == 0


def test_a_partial_write_of_a_crash_is_not_read(tmp_path: Path) -> None:
    mark = HighWaterMark(tmp_path, "production")
    mark.write(SignedHead(5, bytes(32)))
    mark.path.with_suffix(".partial").write_text('{"size": 9')
    assert mark.read() == SignedHead(5, bytes(32))
    mark.write(SignedHead(6, bytes(32)))
    assert mark.read().size == 6


def test_a_mark_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    mark = HighWaterMark(blocked, "production")
    with pytest.raises(MarkUnwritableError, match=r"production-log\.json cannot be written"):
        mark.write(SignedHead(1, bytes(32)))


@pytest.mark.parametrize(
    "raw",
    [b"", b'{"size": 5', b"{}", b"[]", b'{"size": "x", "root": "00"}', b"\xff", bytes(40)],
)
def test_a_damaged_mark_says_where_and_what_to_do(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "production-log.json").write_bytes(raw)
    with pytest.raises(
        MarkUnreadableError, match=r"production-log\.json.*cannot be read.*remove the file"
    ):
        HighWaterMark(tmp_path, "production").read()


def test_a_failed_write_keeps_the_old_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = HighWaterMark(tmp_path, "production")
    mark.write(SignedHead(5, bytes(32)))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MarkUnwritableError, match="No space left on device"):
        mark.write(SignedHead(6, bytes(32)))
    monkeypatch.undo()
    assert mark.read().size == 5
