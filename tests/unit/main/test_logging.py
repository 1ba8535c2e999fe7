"""Several processes write to one log."""

import io
import json
import sys

import pytest
import structlog

from proof.main.events import configure_logging


class Pieces(io.StringIO):
    """Remembers what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


def test_a_line_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written in two pieces has another process's between them."""
    pieces, before = Pieces(), structlog.get_config()
    monkeypatch.setattr(sys, "stderr", pieces)
    try:
        configure_logging()
        structlog.get_logger().warning("loop.failed", step="sealing")
    finally:
        structlog.configure(**before)
    (line,) = pieces.written
    assert line.endswith("\n")
    assert json.loads(line)["step"] == "sealing"
