"""One step of anchoring that SIGKILLs itself right before or right after it broadcasts.

Arguments: the database's and the node's as JSON, and the moment. Run by test_bitcoin.py.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.anchors import PRODUCTION, SCHEDULE, HandClock
from tests.support.bitcoin_lab import CEILING

from proof.db import Database
from proof.timestamps.anchors.anchoring import Anchorer
from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc
from proof.timestamps.anchors.chain import Candidate


class DyingChain(BitcoinChain):
    """Ends the process at its first broadcast."""

    async def broadcast(self, candidate: Candidate) -> None:
        if sys.argv[2] == "after":
            await super().broadcast(candidate)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(arguments: dict[str, Any]) -> None:
    database = await Database.open(arguments["database"])
    rpc = BitcoinRpc(arguments["url"], arguments["wallet"], Path(arguments["cookie"]))
    clock = HandClock()
    clock.moment = datetime.fromisoformat(arguments["now"])
    chain = DyingChain(rpc, "regtest", 3, CEILING)
    await Anchorer(database, clock, PRODUCTION, chain, SCHEDULE).step()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
