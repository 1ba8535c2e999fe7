"""Bars for people only; foreign text harmless."""

import json
from io import StringIO

import pytest
from rich.console import Console

from proof.cli import output
from proof.cli.output import print_json, printable, progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    drawn = StringIO()
    console = Console(file=drawn, force_terminal=is_terminal, width=100)
    monkeypatch.setattr(output, "err", console)
    with progress("hashing", 10, in_bytes=True) as advance:
        advance(4)
        advance(6)
    assert ("hashing" in drawn.getvalue()) is is_terminal
    assert ("10/10 bytes" in drawn.getvalue()) is is_terminal


def test_terminal_sequences_and_broken_names_are_escaped() -> None:
    assert printable("ü \x1b[2J\n\udcff\u202e") == "ü \\x1b[2J\\n\\udcff\\u202e"


def test_json_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"ü \x9b2J": "\x1b[2J\x7f\u202e\u2066\ud800"}
    print_json(told)
    shown = capsys.readouterr().out
    assert json.loads(shown) == told
    assert shown.replace("\n", "").isprintable()
    assert "ü" in shown
