"""A worker that tells of receipts that have matured, for `lives`: a database."""

import json
import sys
from collections.abc import Callable

from tests.support.application import BASE_URLS
from tests.support.lives import live

from proof.db import Database
from proof.receipts.maturing import Maturing


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    maturing = Maturing(database, BASE_URLS)
    begun()
    for _ in range(3):
        await maturing.step()


if __name__ == "__main__":
    live(main)
