"""What an installation costs in which nothing happens: processor time and memory of all processes of
`proof serve`, its PostgreSQL's too, beside the embedded PostgreSQL alone."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Target
from bench.installation import database_only, proof
from bench.options import Options

_PROCESSES = Path("/proc")
# Connections that the start needed are closed after a minute.
_SETTLED_S = 90.0
_MEASURED_S = 60.0
_CPU_PERCENT = 1.0
_MEMORY_MB = 250.0


def run(options: Options) -> list[Figure]:
    """Two figures."""
    with database_only():
        (postgres,) = [each for each in _children(os.getpid()) if _name(each) == "postgres"]
        bare = _measured(options, postgres)
    with proof(1) as served:
        ours = _measured(options, served.process)
    return [
        Figure(
            "idle: processor time",
            "% of a core",
            ours[0],
            bare[0],
            target=Target("at most", _CPU_PERCENT),
        ),
        Figure("idle: memory", "MB", ours[1], bare[1], target=Target("at most", _MEMORY_MB)),
    ]


def _measured(options: Options, process: int) -> tuple[float, float]:
    """Percent of a core over the time measured, and megabytes at its end, of a process and all below it."""
    time.sleep(1.0 if options.quick else _SETTLED_S)
    before, begun = _seconds(process), time.monotonic()
    time.sleep(1.0 if options.quick else _MEASURED_S)
    used_s, passed_s = _seconds(process) - before, time.monotonic() - begun
    memory_mb = sum(_proportional_kib(each) for each in _tree(process)) / 1024
    options.say(f"  {_name(process)}: {used_s:.3f} s of {passed_s:.0f} s, {memory_mb:.0f} MB")
    return 100 * used_s / passed_s, memory_mb


def _seconds(process: int) -> float:
    """Processor time; of what has ended meanwhile none."""
    tasks = (task for each in _tree(process) for task in _PROCESSES.glob(f"{each}/task/*"))
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _proportional_kib(process: int) -> int:
    """Private memory, and of shared memory this process's share."""
    lines = (_PROCESSES / str(process) / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _tree(process: int) -> Iterator[int]:
    yield process
    for child in _children(process):
        yield from _tree(child)


def _children(process: int) -> list[int]:
    lists = _PROCESSES.glob(f"{process}/task/*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def _name(process: int) -> str:
    return (_PROCESSES / str(process) / "comm").read_text().strip()
