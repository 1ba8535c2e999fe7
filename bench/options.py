"""How a benchmark is asked to run."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`quick`: small sizes, to see that everything works. `rows`: stored leaves for growth. `only`: of the
    attacks on a neighbour, those whose name contains it."""

    quick: bool
    rows: int | None = None
    only: str = ""

    def say(self, line: str) -> None:
        """Progress, on standard error: standard output holds the figures alone."""
        print(line, file=sys.stderr, flush=True)
