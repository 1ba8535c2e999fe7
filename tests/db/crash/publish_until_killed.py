"""A worker with witnesses that SIGKILLs itself before or after its n-th statement: arguments are a
database's, a folder and the text of a policy.

Run by test_publishing.py.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.lives import live
from tests.support.pipeline import VAULT

from proof.core.clock import SystemClock
from proof.db import Database
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.policy import read_policy
from proof.timestamps.anchors.log.quorum import Pauses
from proof.timestamps.anchors.log.service import LogWriter


async def work(counted: Callable[[], None]) -> None:
    arguments, folder, policy = map(json.loads, sys.argv[1:])
    database = await Database.open(arguments)
    writer = LogWriter(
        database,
        VAULT,
        SystemClock(),
        "production",
        Marks(Path(folder)),
        read_policy(policy.encode()),
        Pauses(0, 0),
    )
    counted()
    await writer.append()
    await writer.publish()
    await writer.close()
    await database.close()


if __name__ == "__main__":
    live(work)
