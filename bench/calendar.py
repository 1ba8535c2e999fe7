"""The calendar's `POST /digest`: durable commitments from many connections at once."""

import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, Target, compared
from bench.installation import HOST, empty, proof
from bench.load import Load, Result, run_load
from bench.options import Options

CONNECTIONS = 512
# Without a limit in the way: all connections come from one address.
_UNLIMITED = {
    "PROOF_ANONYMOUS_CALLS_PER_MINUTE": "1000000000",
    "PROOF_ANONYMOUS_CALLS_PER_SECOND": "1000000000",
}
_LEAST = Target("at least", 2_000)
_P99 = Target("at most", 200.0)
_SETTLE_S = 1.5


def run(options: Options) -> list[Figure]:
    """One process against the empty endpoint, and what that means in digests a second."""
    rounds, duration_s = (2, 2.0) if options.quick else (7, 3.0)
    with tempfile.TemporaryDirectory() as folder:
        variables = {**_UNLIMITED, **calendar_variables(Path(folder))}
        ours, theirs = _measured(options, variables, rounds, duration_s)
    rates = [result.per_second for result in ours]
    baseline = [result.per_second for result in theirs]
    return [
        compared("calendar against an empty endpoint", "requests/s", rates, baseline, None),
        Figure("calendar", "digests/s", statistics.median(rates), target=_LEAST),
        Figure("calendar, p99", "ms", statistics.median(our.p99_ms for our in ours), target=_P99),
    ]


def calendar_variables(folder: Path) -> dict[str, str]:
    """Settings of a calendar whose Bitcoin node is away: digests are promised all the same."""
    chains = folder / "chains.toml"
    chains.write_text(
        f'[production.bitcoin]\nurl = "http://{HOST}:1"\ncredentials_file = "cookie"\n'
    )
    return {
        "PROOF_CHAINS_FILE": str(chains),
        "PROOF_CALENDAR_URL": "http://calendar.bench.example",
    }


def _measured(
    options: Options, variables: dict[str, str], rounds: int, duration_s: float
) -> tuple[list[Result], list[Result]]:
    ours: list[Result] = []
    theirs: list[Result] = []
    with proof(1, **variables) as served, empty(1) as empty_port:
        for number in range(rounds):
            theirs.append(_load(empty_port, number, duration_s, raw=False))
            ours.append(_load(served.port, time.time_ns(), duration_s, raw=True))
            options.say(f"  {ours[-1].per_second:,.0f} digests/s, p99 {ours[-1].p99_ms:.1f} ms")
            time.sleep(_SETTLE_S)
    return ours, theirs


def _load(port: int, seed: int, duration_s: float, *, raw: bool) -> Result:
    return run_load(
        Load(
            host=HOST,
            port=port,
            api_key="",
            connections=CONNECTIONS,
            hashes=1,
            seed=seed,
            warmup_s=1.0,
            duration_s=duration_s,
            path="/digest" if raw else "/v1/timestamp",
            raw=raw,
        )
    )
