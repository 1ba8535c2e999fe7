"""What the ramp recorded, and what of it is stamped."""

from collections import Counter
from typing import Any, NamedTuple

from proof.db import Database
from proof.partners.types import Environment
from proof.receipts.stamping import OWNERS

_RECORDS = """
SELECT environment, transaction_id, sequence, sha256(record) AS sha256 FROM ramp_records
JOIN ramp_transactions transaction ON transaction.id = transaction_id
JOIN partner_environments owner ON owner.id = partner_environment_id
"""
_STAMPS = (
    "SELECT partner_environment_id, digest FROM submissions WHERE partner_environment_id = ANY($1)"
)
_USED = "SELECT coalesce(sum(used), 0) FROM timestamp_usage WHERE partner_environment_id = ANY($1)"


class Stamps(NamedTuple):
    """How often each hash of an environment's records is there, is stamped, and waits to be; and how many
    hashes were ever counted as new."""

    recorded: Counter[tuple[Environment, bytes]]
    stamped: Counter[tuple[Environment, bytes]]
    waiting: Counter[tuple[Environment, bytes]]
    counted: int

    def problems(self) -> list[str]:
        """Empty when each record is stamped or waits, once."""
        known = self.stamped + self.waiting
        found = [f"forgotten: {each}" for each in self.recorded - known]
        found += [f"twice, or of no record: {each}" for each in known - self.recorded]
        if self.counted != self.stamped.total():
            found.append(f"{self.counted} hashes were submitted for {self.stamped.total()} stamps")
        return found


async def stamps_of(database: Database) -> Stamps:
    """All of the database, as it is at one moment."""
    owners = {owner.id: environment for environment, owner in OWNERS.items()}
    async with database.snapshot() as connection:
        records = await connection.fetch(_RECORDS)
        queued = await connection.fetch("SELECT transaction_id, sequence FROM ramp_unstamped")
        stamps = await connection.fetch(_STAMPS, list(owners))
        counted = await connection.fetchval(_USED, list(owners))
    named: dict[tuple[Any, ...], tuple[Environment, bytes]] = {
        (row["transaction_id"], row["sequence"]): (Environment(row["environment"]), row["sha256"])
        for row in records
    }
    return Stamps(
        Counter(named.values()),
        Counter((owners[owner], digest) for owner, digest in stamps),
        Counter(named[tuple(row)] for row in queued),
        int(counted),
    )
