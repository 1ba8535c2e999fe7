"""Stamping: the SHA-256 of every record of the ramp enters the timestamps, exactly once.

One transaction takes records out of the queue, submits their hashes and notes which chains changed on its
day. Stopped before its commit, nothing happened and the records wait as before; after it they are stamped.
Two stampers cannot take the same records: they follow one another under an advisory lock.
"""

from collections.abc import Sequence
from datetime import UTC, date
from time import monotonic
from uuid import UUID

from proof.core.clock import Clock
from proof.core.loop import Again
from proof.db import Connection, Database
from proof.partners.environments import RECEIPTS_PARTNER
from proof.partners.types import Environment, Limits, PartnerEnvironment
from proof.ramp.transactions import unstamped
from proof.ramp.transactions.unstamped import UnstampedRecord
from proof.receipts import maturing
from proof.receipts.maturing import StampedChain
from proof.receipts.statement_queries import open_day
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.types import NO_CHAINS, Chains, TreeRef

# Whose the stamps of an environment's records are (migration 0022): nobody's credential, nobody's quota.
OWNERS = {
    environment: PartnerEnvironment(
        number, RECEIPTS_PARTNER, environment, Limits(), suspended=False, allowlists={}
    )
    for environment, number in ((Environment.PRODUCTION, -2), (Environment.SANDBOX, -3))
}

BATCH = 1_000

# The key of the advisory lock of whoever stamps, held to the end of its transaction.
LOCK = 0x5354_414D_50

# While records come, whoever writes one beside others says nothing: they are looked for this often, until
# none came for longer than a commit takes.
_PAUSE_S = 0.2
_QUIET_S = 1.0

# The queue has no order, so an older record may be stamped a day after a newer one: as far as statements
# count, its chain did not change then.
_CHANGED = """
INSERT INTO ramp_chain_days AS known (partner_environment_id, day, transaction_id, records, head)
SELECT owner, $1, transaction_id, records, head
FROM unnest($2::integer[], $3::uuid[], $4::integer[], $5::bytea[])
    AS chain (owner, transaction_id, records, head)
WHERE NOT EXISTS (SELECT FROM ramp_chain_days earlier
                  WHERE earlier.transaction_id = chain.transaction_id AND earlier.day < $1
                    AND earlier.records >= chain.records)
ORDER BY owner, transaction_id
ON CONFLICT (partner_environment_id, day, transaction_id) DO UPDATE
SET records = excluded.records, head = excluded.head WHERE known.records < excluded.records
"""


class Stamper:
    """Stamps the records of both environments; any number of workers may have one. `chains` names those
    beside the log."""

    def __init__(self, database: Database, clock: Clock, chains: Chains = NO_CHAINS) -> None:
        self._database = database
        self._clock = clock
        self._committer = Committer(database, chains)
        self._quiet_at = monotonic()

    async def step(self) -> Again:
        """Stamp some of what waits; when to look again."""
        stamped = await self.stamp()
        if stamped:
            self._quiet_at = monotonic() + _QUIET_S
        return stamped == BATCH or (_PAUSE_S if monotonic() < self._quiet_at else False)

    async def stamp(self) -> int:
        """Stamp records of one environment that wait, BATCH at most; how many. None while another stamper
        is at work."""
        async with self._database.connection() as connection:
            if not await unstamped.any_waiting(connection):
                return 0
        while True:
            async with self._database.transaction() as tx:
                if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                    return 0
                waiting = await unstamped.waiting(tx, BATCH)
                if not waiting:
                    return 0
                environment = waiting[0].environment
                records = [each for each in waiting if each.environment is environment]
                trees = await self._submitted(tx, OWNERS[environment], records)
                if trees is not None:
                    await unstamped.remove(tx, records)
                    chains, today = _changed(records), self._clock.now().astimezone(UTC).date()
                    await _note_changed(tx, await open_day(tx, today), chains)
                    await maturing.watch(tx, chains, trees)
                    return len(records)
            # The round was closed meanwhile, so nothing was written; the next one is another.

    async def _submitted(
        self, tx: Connection, owner: PartnerEnvironment, records: Sequence[UnstampedRecord]
    ) -> Sequence[TreeRef] | None:
        """The trees that will prove them; None when the round is closed."""
        current = await self._committer.open_round(owner.id, owner.environment)
        hashes = [each.sha256 for each in records]
        whose = (owner.id, owner.environment.value)
        if await self._committer.commit_within(tx, current, whose, hashes) is None:
            return None
        return current.trees


def _changed(records: Sequence[UnstampedRecord]) -> list[StampedChain]:
    """How far each of their chains goes now."""
    newest: dict[UUID, UnstampedRecord] = {}
    for each in sorted(records, key=lambda record: record.sequence):
        newest[each.transaction_id] = each
    return [
        StampedChain(each.partner_environment_id, each.transaction_id, each.sequence, each.sha256)
        for each in newest.values()
    ]


async def _note_changed(tx: Connection, day: date, chains: Sequence[StampedChain]) -> None:
    """Keep how far each chain goes among the chains that changed that day."""
    await tx.execute(_CHANGED, day, *map(list, zip(*chains, strict=True)))
