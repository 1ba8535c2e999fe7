"""Whole or not at all."""

from pathlib import Path

import pytest

from proof.cli.output import write_atomically


def test_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(target, b"new")
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"kept")
    (tmp_path / "file").symlink_to(elsewhere)
    write_atomically(tmp_path / "file", b"new")
    assert elsewhere.read_bytes() == b"kept"
    assert not (tmp_path / "file").is_symlink()
