"""What commands print: to people with rich, to machines with JSON, harmless whatever the text; and files
that are there whole or not at all.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from proof.core.clock import second_text
from proof.core.errors import BusyError, ProofError, UnavailableError

# Exit codes: 0 done · 1 refused or failed · 2 wrong usage or settings · 3 consistent but not tied to
# anything trusted, or not available yet · 4 the server cannot be reached or does not let us in.
FAILED, USAGE, OPEN, UNREACHABLE = 1, 2, 3, 4
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]

# What `json` leaves as it is and a terminal obeys (C1 controls) or turns round, or no encoding holds.
_UNSHOWN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Advance = Callable[[int], None]


def print_json(value: Any, *, on_one_line: bool = False) -> None:
    """One JSON document on standard output, with everything escaped that a terminal would obey."""
    print_json_text(json.dumps(value, ensure_ascii=False, indent=None if on_one_line else 2))


def print_json_text(text: str) -> None:
    """The same of JSON that is written already; it says the same to whoever reads JSON."""
    sys.stdout.write(_UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def time_text(moment: datetime | None) -> str | None:
    """A moment to the second; None where there is none."""
    return None if moment is None else second_text(moment)


def fail(message: str, code: int) -> typer.Exit:
    """Print an error to standard error; raise what it returns."""
    err.print(f"proof: {message}", markup=False, style="red")
    return typer.Exit(code)


@contextmanager
def stated_errors(code: int = USAGE) -> Iterator[None]:
    """Turn a stated failure into its message and an exit code; UNREACHABLE when it is the database's."""
    try:
        yield
    except UnavailableError as error:
        raise fail(_away(error), UNREACHABLE) from None
    except ProofError as error:
        raise fail(error.message, code) from None


def _away(error: UnavailableError) -> str:
    """Each command acts in one transaction, or says how far it has come."""
    if isinstance(error, BusyError):
        return f"{error.message}; try again in a moment"
    return (
        f"{error.message}; see with `proof config check` that PostgreSQL runs (`proof serve` runs the"
        " embedded one) and that PROOF_DATABASE_URL leads to it, then try again"
    )


def print_columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """None is an empty cell. Rich's tables fold what is too wide, and a folded key id cannot be copied."""
    cells = [list(titles), *([("" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, line in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print(text.rstrip(), markup=False, style=None if number else "bold")


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


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all. Raises OSError."""
    temporary = path.with_name(f".proof-{secrets.token_hex(8)}.tmp")
    try:
        # The caller's umask decides who may read it, as with any file.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
