"""One hash a request, against an empty endpoint that parses the same JSON."""

import statistics
import time

from bench.figures import Figure, Target, compared
from bench.installation import HOST, empty, proof
from bench.load import Load, Result, run_load
from bench.options import Options

CONNECTIONS = 256
_TARGETS = {1: 0.75, 2: 0.55}
_P99_MS = 100.0
# What the worker still has to seal and log when the load ends is not the baseline's burden.
_SETTLE_S = 1.5


def run(options: Options) -> list[Figure]:
    """One process against one, then two against two."""
    rounds, duration_s = (2, 2.0) if options.quick else (9, 3.0)
    return [
        figure
        for processes in (1, 2)
        for figure in _compare(processes, rounds, duration_s, options)
    ]


def _compare(processes: int, rounds: int, duration_s: float, options: Options) -> list[Figure]:
    ours: list[Result] = []
    theirs: list[Result] = []
    with proof(processes) as served, empty(processes) as empty_port:
        for number in range(rounds):
            for results, port in ((theirs, empty_port), (ours, served.port)):
                result = run_load(
                    Load(
                        host=HOST,
                        port=port,
                        api_key=served.api_key,
                        connections=CONNECTIONS,
                        hashes=1,
                        seed=time.time_ns() if results is ours else number,
                        warmup_s=1.0,
                        duration_s=duration_s,
                    )
                )
                results.append(result)
                options.say(
                    f"  {processes} x {'proof' if results is ours else 'empty'}: {_text(result)}"
                )
                time.sleep(_SETTLE_S)
    name = f"single, {processes} process{'es' if processes > 1 else ''}"
    throughput = compared(
        name,
        "requests/s",
        [result.per_second for result in ours],
        [result.per_second for result in theirs],
        Target("at least", _TARGETS[processes]),
    )
    p99_ms = statistics.median(result.p99_ms for result in ours)
    return [throughput, Figure(f"{name}, p99", "ms", p99_ms, target=Target("at most", _P99_MS))]


def _text(result: Result) -> str:
    return (
        f"{result.per_second:,.0f} requests/s, p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms,"
        f" load generator busy {result.cpu_share:.0%}"
    )
