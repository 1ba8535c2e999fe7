"""The gate's share of a whole authenticated request: token, environment, an allowlist of 50 networks and a
rate, of what an HTTP process spends on one hash.

What the gate costs is the difference between two paths of one process, which do nothing with the JSON they
get; the whole is a hash that an HTTP process takes in. Counted is the processes' own processor time, so
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
_AT_MOST = 0.15
_START_S = 30.0
_WARM_UP = 1_000
# More than any machine answers, so that every call is counted and none refused.
_CALLS_PER_S = 1_000_000


def run(options: Options) -> list[Figure]:
    """Microseconds of processor time: the gate of a request, against the whole of one."""
    rounds, requests = (2, 2_000) if options.quick else (7, 10_000)
    with database_only() as settings:
        environment = {**os.environ, "PROOF_DATA_DIR": str(settings.data_dir)}
        api_key = _partner(environment)
        doing_nothing = [sys.executable, "-m", "bench.gated"]
        taking_hashes = [sys.executable, "-m", "proof", "api", "--port"]
        with (
            _served(doing_nothing, environment) as nothing,
            _served(taking_hashes, environment) as hashes,
        ):
            paths = ((nothing, "/empty"), (nothing, "/gated"), (hashes, "/v1/timestamp"))
            spent: list[list[float]] = [[] for _ in paths]
            for number in range(rounds):
                for (server, path), results in zip(paths, spent, strict=True):
                    # Whatever a pause costs is paid before: code that grew cold, a lease given back.
                    _load(server, path, api_key, _WARM_UP, 2 * number)
                    results.append(_load(server, path, api_key, requests, 2 * number + 1))
    empty, gated, whole = spent
    gate = [with_it - without for with_it, without in zip(gated, empty, strict=True)]
    return [compared("gate, of a whole request", "µs", gate, whole, Target("at most", _AT_MOST))]


def _load(server: tuple[int, int], path: str, api_key: str, requests: int, seed: int) -> float:
    """Microseconds of the server's processor time for each request; another seed, other hashes."""
    port, pid = server
    before = _processor_s(pid)
    run_load(
        Load(
            host=HOST,
            port=port,
            api_key=api_key,
            path=path,
            connections=CONNECTIONS,
            hashes=1,
            seed=seed,
            requests=requests,
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
def _served(command: list[str], environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The port and process id of a server whose command ends with its port."""
    port = free_port()
    server = subprocess.Popen([*command, str(port)], env=environment)
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
