"""A worker that chains the audit log and submits a head, for `lives`: a database."""

import json
import sys
from collections.abc import Callable
from datetime import timedelta

from tests.support.lives import live

from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.audit_chain import extend
from proof.timestamps.proofs.audit_heads import submit_head


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    begun()
    await extend(database)
    await submit_head(database, SystemClock(), timedelta(0))


if __name__ == "__main__":
    live(main)
