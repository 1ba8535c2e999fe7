"""Opening widget sessions, against an endpoint of one INSERT on the same database."""

import json
import time
from collections.abc import Mapping, Sequence
from tempfile import NamedTemporaryFile

from bench.figures import Figure, Target, compared
from bench.installation import HOST, Served, inserting, proof
from bench.load import COUNTER, Load, Result, run_load
from bench.options import Options

CONNECTIONS = 64
_AT_LEAST = 0.8
_P99_AT_MOST = 1.3
_SETTLE_S = 0.5
_WALLET = "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf"
# A user of its own for every session: the dearest case.
_BODY = json.dumps(
    {
        "partner_user_id": f"user-{COUNTER}",
        "user_email": f"user-{COUNTER}@bench.example",
        "network": "TRC20",
        "currency": "USDT",
        "amount": "25.50",
        "client_ip": "192.0.2.7",
    }
)
_KEY = f"Idempotency-Key: bench-{COUNTER}\r\n"
_CREDENTIALS = ("widget_id", "widget_secret", "sign_key", "sdk_partner_token")
# More than any machine answers, so that every call is counted and none refused.
_RATE = ("--class", "session", "--calls", "1000000", "--per", "1s")
_NAMES = {"": "sessions", _KEY: "sessions, Idempotency-Key"}


def run(options: Options) -> list[Figure]:
    """One process against one, without and with an Idempotency-Key."""
    rounds, duration_s = (2, 1.0) if options.quick else (11, 2.0)
    theirs: list[Result] = []
    ours: dict[str, list[Result]] = {"": [], _KEY: []}
    with proof(1) as served, inserting(served.settings) as baseline_port:
        _enable(served)
        for _ in range(rounds):
            theirs.append(_load(served, baseline_port, "", duration_s))
            for head, results in ours.items():
                results.append(_load(served, served.port, head, duration_s))
            options.say(
                "  " + "; ".join(map(_text, (theirs[-1], *(our[-1] for our in ours.values()))))
            )
    return [figure for head in ours for figure in _figures(_NAMES[head], ours[head], theirs)]


def _enable(served: Served) -> None:
    environment = ("--environment", "production")
    terms = ("--currency", "USDT", "--network", "TRC20", "--wallet", f"USDT:TRC20:{_WALLET}")
    served.run("partner", "edit", served.partner_id, *environment, *terms)
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(dict.fromkeys(_CREDENTIALS, "bench"), file)
        file.flush()
        how = ("--partner", served.partner_id, "--env", "production", "--credentials", file.name)
        served.run("provider", "add", "mercuryo", *how)
    served.run("rate", "set", served.partner_id, "--env", "production", *_RATE)


def _load(served: Served, port: int, head: str, duration_s: float) -> Result:
    result = run_load(
        Load(
            host=HOST,
            port=port,
            api_key=served.client_token,
            path="/widget/session",
            body=_BODY,
            head=head,
            connections=CONNECTIONS,
            hashes=0,
            seed=time.time_ns(),
            warmup_s=0.5,
            duration_s=duration_s,
        )
    )
    time.sleep(_SETTLE_S)
    return result


def _figures(name: str, ours: Sequence[Result], theirs: Sequence[Result]) -> list[Figure]:
    values: Mapping[str, tuple[str, Target]] = {
        "per_second": ("requests/s", Target("at least", _AT_LEAST)),
        "p99_ms": ("ms", Target("at most", _P99_AT_MOST)),
    }
    return [
        compared(
            name if field == "per_second" else f"{name}, p99",
            unit,
            [getattr(our, field) for our in ours],
            [getattr(their, field) for their in theirs],
            target,
        )
        for field, (unit, target) in values.items()
    ]


def _text(result: Result) -> str:
    return f"{result.per_second:,.0f}/s, p99 {result.p99_ms:.1f} ms, load generator {result.cpu_share:.0%}"
