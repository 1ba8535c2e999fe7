"""What the gate costs: token, environment, an allowlist of 50 networks and a rate, before a handler that
does nothing with the JSON it gets.

The same process answers both paths, and what is compared is its own processor time for each request, so
that whatever else the machine does counts little.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure, Target, compared
from bench.installation import HOST, database_only, free_port
from bench.load import Load, run_load
from bench.options import Options

CONNECTIONS = 64
NETWORKS = 50
_AT_MOST = 1.15
_START_S = 30.0
_WARM_UP = 3_000
# More than any machine answers, so that every call is counted and none refused.
_CALLS_PER_S = 1_000_000


def run(options: Options) -> list[Figure]:
    """Microseconds of processor time for a request through the gate, against one that needs none."""
    rounds, requests = (2, 2_000) if options.quick else (9, 30_000)
    with database_only() as settings:
        environment = {**os.environ, "PROOF_DATA_DIR": str(settings.data_dir)}
        api_key = _partner(environment)
        with _served(environment) as (port, pid):
            gated: list[float] = []
            empty: list[float] = []
            for _ in range(rounds):
                for path, results in (("/empty", empty), ("/gated", gated)):
                    # Whatever a pause costs is paid before: code that grew cold, a lease given back.
                    _load(port, pid, path, api_key, _WARM_UP)
                    results.append(_load(port, pid, path, api_key, requests))
    return [compared("gate, one process", "µs", gated, empty, Target("at most", _AT_MOST))]


def _load(port: int, pid: int, path: str, api_key: str, requests: int) -> float:
    """Microseconds of the server's processor time for each request."""
    before = _processor_s(pid)
    run_load(
        Load(
            host=HOST,
            port=port,
            api_key=api_key,
            path=path,
            connections=CONNECTIONS,
            hashes=1,
            seed=1,
            requests=requests,
            awake=True,
        )
    )
    return 1e6 * (_processor_s(pid) - before) / requests


def _processor_s(pid: int) -> float:
    # proc(5): user and system time are the 14th and 15th fields; the name before them may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _partner(environment: dict[str, str]) -> str:
    """A partner with an allowlist that ends with this machine, and a rate; its api_key."""
    networks = [f"10.{n}.0.0/{16 + n % 14}" for n in range(NETWORKS - 1)] + ["127.0.0.1/32"]
    listed = [part for network in networks for part in ("--timestamps-ip", network)]
    who = ("--name", "Bench", "--email", "bench@bench.example", "--ip", "127.0.0.1")
    added = json.loads(_proof(environment, "partner", "add", *who, *listed, "--json"))
    limit = ("--class", "submit", "--calls", str(_CALLS_PER_S), "--per", "1s")
    _proof(environment, "rate", "set", added["partner_id"], "--env", "production", *limit)
    key: str = added["production"]["api_key"]
    return key


def _proof(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "proof", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


@contextmanager
def _served(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The server's port and process id."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.gated", str(port)], env=environment)
    try:
        _await_port(port)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
