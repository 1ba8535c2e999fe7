"""A worker that SIGKILLs itself before or after its n-th statement: arguments are JSON and a folder.

Run by test_crash.py. Prints `done` and ends with 0 when it came to the end of its work unharmed.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.pipeline import work

from proof.db import Database

_STATEMENTS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table")


def kill_at(number: int, moment: str) -> None:
    """Count every statement any connection runs, BEGIN and COMMIT included."""
    count = 0

    def wrap(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == number and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await method(self, *arguments, **options)
            if mine == number and moment == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for name in _STATEMENTS:
        setattr(asyncpg.Connection, name, wrap(getattr(asyncpg.Connection, name)))


async def main(arguments: dict[str, Any], folder: Path) -> None:
    database = await Database.open(arguments)
    kill_at(int(sys.argv[3]), sys.argv[4])
    await work(database, folder)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), Path(sys.argv[2])))
    print("done")
