"""How a benchmark is asked to run."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`quick`: small sizes, to see that everything works. `rows`: stored leaves for growth."""

    quick: bool
    rows: int | None = None

    def say(self, line: str) -> None:
        """Progress, on standard error: standard output holds the figures alone."""
        print(line, file=sys.stderr, flush=True)
