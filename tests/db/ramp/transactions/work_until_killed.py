"""The ramp's work of a worker, ended by SIGKILL before its n-th statement; the argument is a database.

Run by test_crash.py, which writes a number a line and reads the exit code of that life, 0 when it came to
its end unharmed. Each life is a fork of this process, which does nothing but load the program once.
"""

import asyncio
import json
import os
import sys

from tests.db.crash.work_until_killed import kill_at
from tests.db.ramp.transactions.scene import providers

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.reconciler import Reconciler


async def main(number: int) -> None:
    database, vault = await Database.open(json.loads(sys.argv[1])), Vault([bytes(range(32))])
    kill_at(number, "before")
    await process(database, vault, providers(database), SystemClock())
    await Reconciler(database, vault, providers(database), SystemClock()).step()


def live(number: int) -> int:
    child = os.fork()
    if child == 0:
        asyncio.run(main(number))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(live(int(line)), flush=True)
