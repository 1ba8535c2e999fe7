"""Both trees over a million leaves, against a bare loop of the hashes they need."""

import asyncio
import json
import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from bench.figures import Figure, Target, compared
from bench.installation import database_only
from bench.options import Options
from proof.config import Settings
from proof.db import Database
from proof.main.parts.database import arguments
from proof.timestamps.submissions.queries import open_round
from proof.timestamps.trees import queries, sealing
from proof.timestamps.trees.merkle import HASH_BYTES, build
from proof.timestamps.types import Currency

LEAVES = 1_000_000
_MEMORY_MIB = 400.0
_MAX_TILES = 4.0

_FILL = """
INSERT INTO submissions (partner_environment_id, digest, round_id, created_at)
SELECT 1, sha256(int8send(n)), $1, now() FROM generate_series(1, $2::bigint) AS n
"""


def run(options: Options) -> list[Figure]:
    """Building, its peak memory, reading and sorting in the database, tiles for one proof."""
    leaves, rounds = (100_000, 3) if options.quick else (LEAVES, 7)
    ours, theirs = _timed(leaves, rounds, options)
    with database_only() as settings:
        read_s = asyncio.run(_read(settings, leaves))
        sealed_s, peak_mib = _seal(settings)
        tiles = asyncio.run(_tiles_of_a_proof(settings, leaves))
    name = f"both trees, {leaves:,} leaves"
    return [
        compared(f"{name}, built", "s", ours, theirs, Target("at most", 1.25)),
        Figure(f"{name}, peak memory", "MiB", peak_mib, target=Target("at most", _MEMORY_MIB)),
        Figure(
            f"{name}, tiles a proof reads", "tiles", tiles, target=Target("at most", _MAX_TILES)
        ),
        Figure(f"{name}, read and sorted by PostgreSQL", "s", read_s),
        Figure(f"{name}, read, built and stored", "s", sealed_s),
    ]


def _sorted_leaves(count: int) -> bytes:
    joined = random.Random(0).randbytes(HASH_BYTES * count)
    return b"".join(
        sorted(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES))
    )


def _timed(leaves: int, rounds: int, options: Options) -> tuple[list[float], list[float]]:
    joined, needed = _sorted_leaves(leaves), _hashes(leaves)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        theirs.append(_bare_loops(needed))
        started = time.process_time()
        build(joined)
        ours.append(time.process_time() - started)
        hashes = sum(needed.values())
        options.say(f"  {hashes:,} hashes in {theirs[-1]:.3f} s, trees in {ours[-1]:.3f} s")
    return ours, theirs


def _bare_loops(needed: dict[int, int]) -> float:
    started = time.process_time()
    for length, count in needed.items():
        block = bytes(length)
        for _ in range(count):
            sha256(block).digest()
    return time.process_time() - started


def _hashes(leaves: int) -> dict[int, int]:
    """How many hashes both trees take, by the bytes that go in: a node of the contract's tree 128, a plain
    leaf 33, a plain node 65. An odd last node is hashed with itself in the first, in the plain one not."""
    nodes, level = 0, leaves
    while level > 1:
        level = (level + 1) // 2
        nodes += level
    return {128: nodes, 33: leaves, 65: leaves - 1}


async def _read(settings: Settings, leaves: int) -> float:
    """Fill a closed round; seconds to read it in order."""
    connection = await asyncpg.connect(**arguments(settings, "app"))
    try:
        round_id = await _filled_round(connection, leaves)
        await connection.execute("UPDATE rounds SET closed_at = now()")
        started = time.perf_counter()
        await queries.leaves(connection, round_id)
        return time.perf_counter() - started
    finally:
        await connection.close()


def _seal(settings: Settings) -> tuple[float, float]:
    """Seconds a process of its own needs to seal the round, and its peak resident MiB."""
    sealed = subprocess.run(
        [sys.executable, "-m", "bench.tree"],
        input=json.dumps(arguments(settings, "app")).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    elapsed_s, peak_mib = json.loads(sealed.stdout)
    return elapsed_s, peak_mib


async def _tiles_of_a_proof(settings: Settings, leaves: int) -> int:
    leaf = sha256((leaves // 2).to_bytes(8, "big")).digest()
    connection = await asyncpg.connect(**arguments(settings, "app"))
    try:
        round_id = await connection.fetchval("SELECT max(id) FROM rounds")
        wanted = [(round_id, leaf)]
        await sealing.paths(connection, "round", wanted)
        (tiles,) = await queries.tiles_above(connection, "round", wanted)
        return len(tiles)
    finally:
        await connection.close()


async def _filled_round(connection: "asyncpg.Connection[asyncpg.Record]", leaves: int) -> int:
    (opened,) = await open_round(
        connection, 1, "production", bytes(HASH_BYTES), uuid4(), Currency.LOG
    )
    round_id: int = opened["round_id"]
    await connection.execute(_FILL, round_id, leaves)
    return round_id


async def _seal_here(arguments_of_app: dict[str, Any]) -> None:
    database = await Database.open(arguments_of_app)
    started = time.perf_counter()
    sealed = await sealing.seal_next(database)
    elapsed_s = time.perf_counter() - started
    await database.close()
    if not sealed:
        raise AssertionError("there was a closed round")
    print(json.dumps([elapsed_s, _peak_mib()]))


def _peak_mib() -> float:
    # getrusage would tell the peak of whoever started this process when that was larger.
    status = Path("/proc/self/status").read_text()
    peak_kib = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(peak_kib) / 1024


if __name__ == "__main__":
    asyncio.run(_seal_here(json.load(sys.stdin)))
