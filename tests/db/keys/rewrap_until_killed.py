"""A rewrap that SIGKILLs itself before or after its n-th statement.

Run by test_rewrap.py: asyncpg's arguments as JSON, n, `before` or `after`. Prints `done` and ends with 0
when it came to its end unharmed.
"""

import asyncio
import json
import sys
from typing import Any

from tests.db.crash.work_until_killed import kill_at
from tests.db.keys.records import BOTH

from proof.db import Database
from proof.db.sealed import rewrap
from proof.main.sealed import SEALED


async def main(arguments: dict[str, Any]) -> None:
    database = await Database.open(arguments)
    kill_at(int(sys.argv[2]), sys.argv[3])
    await rewrap(database, BOTH, SEALED, lambda _: None)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
    print("done")
