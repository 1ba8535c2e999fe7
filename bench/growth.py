"""What a hash costs at ten million stored leaves, against a hundred thousand.

Two embedded servers side by side, so that both sides are measured in turn. A table's cost follows
its checkpoints: after one, the first change of each page of the index is logged as the whole page.
The large table's rounds begin right after a checkpoint and go through that dear phase once, as a
checkpoint cycle under load does; the small table is made anew for each round, so that it stays small.
"""

import asyncio
import statistics
import time
from contextlib import ExitStack
from uuid import uuid4

import asyncpg

from bench.figures import Figure, Target, compared
from bench.installation import database_only, superuser
from bench.load import digests
from bench.options import Options
from proof.config import Settings
from proof.main.parts.database import arguments
from proof.timestamps.submissions import queries
from proof.timestamps.types import Currency

SMALL_ROWS = 100_000
LARGE_ROWS = 10_000_000
_CHUNK_ROWS = 500_000
_BATCH_ROWS = 1_000
_ROUND_ROWS = 50_000

# Sorted within a chunk, as each commit is: pages are split and filled as in years of submissions.
_FILL = """
INSERT INTO submissions (partner_environment_id, digest, round_id, created_at)
SELECT 1, sha256(int8send(n)), $1, now() FROM generate_series($2::bigint, $3::bigint) AS n
ORDER BY 2
"""


def run(options: Options) -> list[Figure]:
    """Microseconds a hash through the committer's own statement."""
    large_rows = options.rows or (1_000_000 if options.quick else LARGE_ROWS)
    rounds = 5 if options.quick else 20
    with ExitStack() as stack:
        small, large = (stack.enter_context(database_only()) for _ in range(2))
        return asyncio.run(_compare(small, large, large_rows, rounds, options))


class _Table:
    """One server's table of submissions, and the statement the committer runs on it."""

    def __init__(
        self,
        app: "asyncpg.Connection[asyncpg.Record]",
        superuser: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self._app = app
        self._superuser = superuser
        self._round_id = 0

    @classmethod
    async def open(cls, settings: Settings) -> "_Table":
        table = cls(
            await asyncpg.connect(**arguments(settings, "app")),
            await asyncpg.connect(**superuser(settings)),
        )
        (opened,) = await queries.open_round(
            table._app, 1, "production", bytes(32), uuid4(), Currency.LOG
        )
        table._round_id = opened["round_id"]
        return table

    async def close(self) -> None:
        await self._app.close()
        await self._superuser.close()

    async def fill(self, rows: int) -> None:
        """Make the table hold that many rows and nothing else."""
        await self._superuser.execute("TRUNCATE submissions")
        for start in range(0, rows, _CHUNK_ROWS):
            last = min(start + _CHUNK_ROWS, rows)
            await self._app.execute(_FILL, self._round_id, start + 1, last)
        await self._superuser.execute("VACUUM ANALYZE submissions")

    async def checkpoint(self) -> None:
        await self._superuser.execute("CHECKPOINT")

    async def cost_us(self, seed: int) -> float:
        """Microseconds a hash over one round of commits."""
        joined = digests(seed, _ROUND_ROWS)
        blobs = [
            _sorted(joined[start : start + 32 * _BATCH_ROWS])
            for start in range(0, len(joined), 32 * _BATCH_ROWS)
        ]
        started = time.perf_counter()
        for blob in blobs:
            await queries.commit(self._app, [self._round_id], [blob])
        return (time.perf_counter() - started) * 1e6 / _ROUND_ROWS


async def _compare(
    small_settings: Settings,
    large_settings: Settings,
    large_rows: int,
    rounds: int,
    options: Options,
) -> list[Figure]:
    small, large = await _Table.open(small_settings), await _Table.open(large_settings)
    ours: list[float] = []
    theirs: list[float] = []
    try:
        started = time.perf_counter()
        await large.fill(large_rows)
        await large.checkpoint()
        options.say(f"  {large_rows:,} rows filled in {time.perf_counter() - started:.0f} s")
        for number in range(rounds):
            await small.fill(SMALL_ROWS)
            theirs.append(await small.cost_us(number))
            ours.append(await large.cost_us(number))
            options.say(
                f"  {theirs[-1]:.1f} us at {SMALL_ROWS:,}, {ours[-1]:.1f} us at {large_rows:,}"
            )
    finally:
        await small.close()
        await large.close()
    return _figures(large_rows, ours, theirs)


def _figures(rows: int, ours: list[float], theirs: list[float]) -> list[Figure]:
    # Means, not medians: the dear rounds after the checkpoint belong to the cost.
    large, small = statistics.fmean(ours), statistics.fmean(theirs)
    single = [our / other for our, other in zip(ours, theirs, strict=True)]
    name = f"growth, {rows:,} rows"
    first = len(ours) // 5
    return [
        Figure(
            name,
            "us/hash",
            large,
            small,
            large / small,
            min(single),
            max(single),
            Target("at most", 1.4),
        ),
        compared(
            f"{name}, first fifth after a checkpoint", "us/hash", ours[:first], theirs[:first]
        ),
        compared(f"{name}, last fifth", "us/hash", ours[-first:], theirs[-first:]),
    ]


def _sorted(blob: bytes) -> bytes:
    return b"".join(sorted(blob[at : at + 32] for at in range(0, len(blob), 32)))
