"""Runs a cluster in a process of its own, which the tests kill.

``supervise.py DATA_DIR [STATEMENT…]``: starts, runs the statements as the owner, prints postgres's
process id, and stops in order once its standard input ends.
"""

import asyncio
import sys
from pathlib import Path

import asyncpg

from proof.db.embedded import ConnectionInfo, EmbeddedCluster


async def execute(owner: ConnectionInfo, statements: list[str]) -> None:
    session = await asyncpg.connect(
        host=owner.host, user=owner.user, password=owner.password, database=owner.database
    )
    for statement in statements:
        await session.execute(statement)
    await session.close()


def main() -> None:
    cluster = EmbeddedCluster(Path(sys.argv[1]))
    with cluster.start() as running:
        asyncio.run(execute(cluster.connection("owner"), sys.argv[2:]))
        print(running.process.pid, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
