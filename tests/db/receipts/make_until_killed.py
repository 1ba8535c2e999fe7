"""A worker's work on statements, for `lives`: a database, and a file that says what time it is."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.support.lives import live

from proof.db import Database
from proof.receipts.statements import StatementMaker


class WrittenClock:
    """Shows what its file says."""

    def now(self) -> datetime:
        return datetime.fromisoformat(Path(json.loads(sys.argv[2])).read_text())


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    maker = StatementMaker(database, WrittenClock())
    begun()
    while await maker.step():
        pass


if __name__ == "__main__":
    live(main)
