"""A rewrap, for `lives`: a database."""

import json
import sys
from collections.abc import Callable

from tests.db.keys.records import BOTH
from tests.support.lives import live

from proof.db import Database
from proof.db.sealed import rewrap
from proof.main.parts.sealed import SEALED


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    begun()
    await rewrap(database, BOTH, SEALED, lambda _: None)


if __name__ == "__main__":
    live(main)
