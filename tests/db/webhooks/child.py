"""A worker of its own process, to be killed: `python -m tests.db.webhooks.child`, a database on stdin."""

import asyncio
import json
import sys

from tests.db.webhooks.scene import POLICY, QUICK, ring

from proof.core.clock import SystemClock
from proof.db import Database
from proof.outbound import OutboundClient
from proof.webhooks import Deliverer


async def _work() -> None:
    database = await Database.open(json.load(sys.stdin))
    client = OutboundClient(POLICY)
    await Deliverer(database, client, ring, SystemClock(), limits=QUICK).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(_work())
