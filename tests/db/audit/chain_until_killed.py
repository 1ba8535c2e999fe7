"""A worker that chains the audit log and submits its heads, for `lives`: a database."""

import json
import sys
from collections.abc import Callable

from tests.support.lives import live

from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.audit_chain import extend
from proof.timestamps.proofs.audit_heads import HeadSubmitter


async def main(begun: Callable[[], None]) -> None:
    database = await Database.open(json.loads(sys.argv[1]))
    begun()
    await extend(database)
    await HeadSubmitter(database, SystemClock()).step()


if __name__ == "__main__":
    live(main)
