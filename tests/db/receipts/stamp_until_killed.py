"""A stamper's work, for `lives`: a database."""

import json
import sys
from collections.abc import Callable

from tests.support.lives import live

from proof.core.clock import SystemClock
from proof.db import Database
from proof.receipts.stamping import Stamper


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    stamper = Stamper(database, SystemClock())
    begun()
    while await stamper.stamp():
        pass


if __name__ == "__main__":
    live(main)
