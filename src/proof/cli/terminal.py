"""What a terminal shows: foreign text made harmless, and the progress of long work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from proof.cli.output import err

Advance = Callable[[int], None]


def printable(text: str) -> str:
    """Text from files or servers with everything escaped that a terminal would obey or not encode."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def is_interactive() -> bool:
    """Whether somebody sits at standard input."""
    return sys.stdin.isatty()


@contextmanager
def progress(description: str, total: int, *, in_bytes: bool = False) -> Iterator[Advance]:
    """A bar on standard error, when that is a terminal; yields what advances it, from any thread."""
    if not err.is_terminal or total == 0:
        yield _nothing
        return
    count: Any = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda step: bar.advance(task, step)


def _nothing(_step: int) -> None:
    pass
