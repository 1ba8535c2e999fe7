"""`python -m bench [NAME…] [--quick] [--json]`: run benchmarks, print their figures."""

import argparse
import json
import sys
from collections.abc import Callable

from bench import (
    bulk,
    calendar,
    callbacks,
    chain_verifying,
    delivery,
    gate,
    growth,
    idle,
    neighbours,
    published,
    receipts,
    restart,
    sessions,
    single,
    statement,
    tree,
    tsa,
    verify,
    websockets,
    witness,
)
from bench.figures import Figure, as_json, table
from bench.options import Options

BENCHMARKS: dict[str, Callable[[Options], list[Figure]]] = {
    "single": single.run,
    "bulk": bulk.run,
    "tree": tree.run,
    "verify": verify.run,
    "chains": chain_verifying.run,
    "growth": growth.run,
    "delivery": delivery.run,
    "gate": gate.run,
    "neighbours": neighbours.run,
    "published": published.run,
    "receipt": receipts.run,
    "statement": statement.run,
    "restart": restart.run,
    "calendar": calendar.run,
    "tsa": tsa.run,
    "ws": websockets.run,
    "sessions": sessions.run,
    "callbacks": callbacks.run,
    "witness": witness.run,
    "idle": idle.run,
}


def main() -> int:
    """Exit code 0 when every target is met, 1 when one is missed; small sizes miss nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="small sizes: a smoke test, no figure")
    parser.add_argument(
        "--rows",
        type=int,
        help="stored leaves for growth, records for receipt; 10,000,000 by default",
    )
    parser.add_argument("--only", default="", help="neighbours: attacks whose name contains it")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    options = Options(quick=asked.quick, rows=asked.rows, only=asked.only)
    unknown = set(asked.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"there is no benchmark {min(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in asked.names or BENCHMARKS:
        options.say(f"{name} …")
        figures += BENCHMARKS[name](options)
    print(
        json.dumps([as_json(figure) for figure in figures], indent=2)
        if asked.json
        else table(figures)
    )
    return 0 if options.quick or all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
