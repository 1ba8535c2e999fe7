"""A worker in the middle of a transaction. Run by test_sessions.py: asyncpg's arguments as JSON.

Says `held` once it holds the locks of all partners, and goes on when its standard input ends.
"""

import asyncio
import json
import sys
from typing import Any

from proof.db import Database
from proof.db.session import OF_THE_WORKER


async def main(arguments: dict[str, Any]) -> None:
    database = await Database.open(arguments, patience=OF_THE_WORKER)
    async with database.transaction() as tx:
        await tx.execute("SELECT FROM partners FOR UPDATE")
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
