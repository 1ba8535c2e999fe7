"""How commands speak: to people with rich, to machines with JSON."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from proof.core.errors import BusyError, ProofError, UnavailableError

# Exit codes: 0 done · 1 refused or failed · 2 wrong usage or settings · 3 consistent but not tied to
# anything trusted, or not available yet · 4 the server cannot be reached or does not let us in.
FAILED, USAGE, OPEN, UNREACHABLE = 1, 2, 3, 4

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]


# What `json` leaves as it is and a terminal obeys (C1 controls) or turns round, or no encoding holds.
_UNSHOWN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def print_json(value: Any) -> None:
    """One JSON document on standard output, with everything escaped that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    sys.stdout.write(_UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


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
