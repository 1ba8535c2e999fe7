"""RFC 3161 tokens on one core: a request read, a token signed with P-256 and put together.

Processor time, and the fastest of many short rounds, beside the bare signature.
"""

import time
from collections.abc import Callable

from bench.figures import Figure, Target
from bench.options import Options
from proof.core.clock import SystemClock
from proof.timestamps.tsa.authority import load_authority
from proof.timestamps.tsa.clock_watch import ClockWatch
from proof.timestamps.tsa.development import generate
from proof.timestamps.tsa.request import parse_request
from proof.timestamps.tsa.service import TimeStampingAuthority
from proof.timestamps.tsa.token import TokenIssuer

_TARGET = Target("at least", 5_000)
# SHA-256, a nonce of eight bytes, certificates wanted.
_QUERY = bytes.fromhex(
    "3043020101"  # a request of version 1
    "3031300d060960864801650304020105000420" + "fe" * 32 + "02081234567890abcdef0101ff"
)


def run(options: Options) -> list[Figure]:
    """Tokens a second with everything on, and signatures a second with nothing else."""
    rounds, repeats = (3, 200) if options.quick else (30, 500)
    clock = SystemClock()
    made = generate(clock.now())
    authority = load_authority(made.chain, made.key, "2.25.42", 1000)
    watch = ClockWatch(1000, synchronised=False)
    parse_request(_QUERY)  # what is refused costs nothing
    service = TimeStampingAuthority(TokenIssuer(authority), clock, watch)
    return [
        Figure(
            "RFC 3161 tokens",
            "tokens/s",
            _fastest(lambda: service.answer(_QUERY), rounds, repeats),
            target=_TARGET,
        ),
        Figure(
            "P-256 signatures alone",
            "signatures/s",
            _fastest(lambda: authority.sign(_QUERY), rounds, repeats),
        ),
    ]


def _fastest(act: Callable[[], object], rounds: int, repeats: int) -> float:
    rates = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            act()
        rates.append(repeats / (time.process_time() - started))
    return max(rates)
