"""A worker that chains and submits a head, and SIGKILLs itself before or after its n-th statement.

Run by test_crash.py: asyncpg's arguments as JSON, n, `before` or `after`. Prints `done` and ends with 0
when it came to its end unharmed.
"""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

from tests.db.crash.work_until_killed import kill_at

from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.audit_chain import extend
from proof.timestamps.proofs.audit_heads import submit_head


async def main(arguments: dict[str, Any]) -> None:
    database = await Database.open(arguments)
    kill_at(int(sys.argv[2]), sys.argv[3])
    await extend(database)
    await submit_head(database, SystemClock(), timedelta(0))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
    print("done")
