"""A thousand hashes a request, against a bare INSERT of the same rows over one connection."""

import asyncio
import time

import asyncpg

from bench.figures import Figure, Target, compared
from bench.installation import HOST, Served, proof
from bench.load import Load, bulk_seed, digests, run_load
from bench.options import Options
from proof.main.parts.database import arguments

HASHES = 1_000
_CONNECTIONS = 8
_SETTLE_S = 2.0

# The columns and the primary key of the table of submissions, without its checks and its index of
# rounds: what any table of these rows would cost.
_TABLE = """
CREATE TABLE bench_submissions (
    partner_environment_id integer NOT NULL,
    digest                 bytea NOT NULL,
    round_id               bigint NOT NULL,
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (partner_environment_id, digest)
)
"""
_INSERT = """
INSERT INTO bench_submissions (partner_environment_id, digest, round_id, created_at)
SELECT 1, digest, 1, now() FROM unnest($1::bytea[]) AS digest
ON CONFLICT DO NOTHING
"""


def run(options: Options) -> list[Figure]:
    """Rows a second, one API process against one connection."""
    rounds, requests = (2, 40) if options.quick else (9, 300)
    ours: list[float] = []
    theirs: list[float] = []
    with proof(1) as served:
        asyncio.run(_create_table(served))
        for number in range(rounds):
            theirs.append(asyncio.run(_bare(served, number, requests)))
            time.sleep(_SETTLE_S)
            ours.append(_bulk(served, number, requests))
            time.sleep(_SETTLE_S)
            options.say(f"  bare insert {theirs[-1]:,.0f}, proof {ours[-1]:,.0f} hashes/s")
    return [compared("bulk, 1,000 a request", "hashes/s", ours, theirs, Target("at least", 0.9))]


def _bulk(served: Served, seed: int, requests: int) -> float:
    result = run_load(
        Load(
            host=HOST,
            port=served.port,
            api_key=served.api_key,
            connections=_CONNECTIONS,
            hashes=HASHES,
            seed=seed,
            requests=requests,
        )
    )
    return result.per_second * HASHES


async def _create_table(served: Served) -> None:
    connection = await asyncpg.connect(**arguments(served.settings, "owner"))
    try:
        await connection.execute(_TABLE)
    finally:
        await connection.close()


async def _bare(served: Served, seed: int, requests: int) -> float:
    connection = await asyncpg.connect(**arguments(served.settings, "owner"))
    try:
        insert = await connection.prepare(_INSERT)
        batches = [_rows(seed, number) for number in range(requests)]
        started = time.perf_counter()
        for batch in batches:
            await insert.fetch(batch)
        elapsed_s = time.perf_counter() - started
    finally:
        await connection.close()
    return requests * HASHES / elapsed_s


def _rows(seed: int, request: int) -> list[bytes]:
    joined = digests(bulk_seed(seed, request), HASHES)
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]
