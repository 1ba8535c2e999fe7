"""A thousand requests a second while PostgreSQL is restarted, and killed: what callers are answered, what
is lost, and when the first is served again.

The database is a server apart, as an operator's own would be; Proof is not restarted.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from tests.support.standalone import Standalone

from bench.figures import Figure, Target
from bench.flood import Answers, Flood, Flooding, digests
from bench.installation import Served, proof
from bench.options import Options

_PER_SECOND = 1_000.0
_CONNECTIONS = 400
_AWAY_S = 3.0
_AGAIN_S = 2.0
_NEVER_S = 60.0
_SEED = 12
_OK, _LATER = range(200, 300), 503


def run(options: Options) -> list[Figure]:
    """Four figures for a restart in order and four for a crash."""
    figures = []
    with _scene() as (database, served):
        ways = {"restart": database.stop, "crash": database.kill}
        for number, (name, end) in enumerate(ways.items()):
            figures += _measured(options, database, served, name, end, _SEED + number)
    return figures


@contextmanager
def _scene() -> Iterator[tuple[Standalone, Served]]:
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/tmp") as folder:
        database = Standalone(Path(folder))
        database.start()
        try:
            with proof(
                1,
                PROOF_DATABASE_URL=database.url("app"),
                PROOF_DATABASE_OWNER_URL=database.url("owner"),
            ) as served:
                yield database, served
        finally:
            database.stop()


def _measured(
    options: Options,
    database: Standalone,
    served: Served,
    name: str,
    end: Callable[[], None],
    seed: int,
) -> list[Figure]:
    steady_s = 1.0 if options.quick else 5.0
    head = (
        "POST /v1/timestamp HTTP/1.1\r\n"
        f"x-api-key: {served.api_key}\r\nContent-Type: application/json\r\n"
    )
    flood = Flood(
        port=served.port,
        connections=_CONNECTIONS,
        requests=[(head, "")],
        hashes=1,
        seed=seed,
        per_second=_PER_SECOND,
    )
    process = Flooding(flood)
    time.sleep(steady_s)
    end()
    time.sleep(_AWAY_S)
    database.start()
    returned_at = time.monotonic()
    time.sleep(steady_s)
    answers = process.finish()
    again_s = min(
        (at - returned_at for _, at in answers.acknowledged if at > returned_at), default=_NEVER_S
    )
    stored = asyncio.run(_stored(database))
    lost = sum(digests(seed, item, 1)[0] not in stored for item, _ in answers.acknowledged)
    options.say(f"  {name}: {answers.statuses}, served again after {again_s:.2f} s")
    return _figures(name, answers, lost, again_s)


async def _stored(database: Standalone) -> set[str]:
    """Every hash that is there."""
    connection = await asyncpg.connect(**database.arguments())
    try:
        rows = await connection.fetch("SELECT encode(digest, 'hex') AS hex FROM submissions")
    finally:
        await connection.close()
    return {row["hex"] for row in rows}


def _figures(name: str, answers: Answers, lost: int, again_s: float) -> list[Figure]:
    other = sum(count for status, count in answers.statuses.items() if status not in {*_OK, _LATER})
    return [
        Figure(f"{name}: answers that are neither", "", other, target=Target("at most", 0)),
        Figure(f"{name}: acknowledged and lost", "", lost, target=Target("at most", 0)),
        Figure(f"{name}: served again after", "s", again_s, target=Target("at most", _AGAIN_S)),
        Figure(f"{name}: acknowledged", "", len(answers.acknowledged)),
    ]
