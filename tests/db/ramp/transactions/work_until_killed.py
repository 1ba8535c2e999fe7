"""The ramp's work of a worker, for `lives`: a database."""

import json
import sys
from collections.abc import Callable

from tests.db.ramp.transactions.scene import providers
from tests.support.lives import live

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.reconciler import Reconciler


async def main(begun: Callable[[], None]) -> None:
    database, vault = await Database.open(json.loads(sys.argv[1])), Vault([bytes(range(32))])
    begun()
    await process(database, vault, providers(database), SystemClock())
    await Reconciler(database, vault, providers(database), SystemClock()).step()


if __name__ == "__main__":
    live(main)
