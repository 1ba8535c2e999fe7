"""A worker's way from closed round to published tree, for `lives`: a database and a folder."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.lives import live
from tests.support.pipeline import work

from proof.db import Database


async def main(begun: Callable[[], None]) -> None:
    arguments, folder = map(json.loads, sys.argv[1:])
    database = await Database.open(arguments)
    begun()
    await work(database, Path(folder))


if __name__ == "__main__":
    live(main)
