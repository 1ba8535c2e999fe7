"""What a partner environment used this month, and what its limits leave.

Hashes and proofs to be delivered are counted in the transaction that accepts them. Calls that only
read are added up by each process and written once a second; a killed process loses that second's.
"""

from collections import Counter
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from proof.core.clock import Clock
from proof.core.errors import QuotaExceededError
from proof.core.loop import SAFETY_S, Loop
from proof.db import Connection, Database
from proof.partners.types import Limits, PartnerEnvironment

UNLIMITED = 2**53 - 1

_FLUSH_S = 1.0


class UsageKind(StrEnum):
    TIMESTAMPS = "timestamps"
    PROOFS = "proofs"
    STATUS = "status"


class MonthUsage(NamedTuple):
    """One month's counts."""

    year: int
    month: int
    timestamps: int
    proofs: int
    status: int


_ADD = """
INSERT INTO timestamp_usage (partner_environment_id, month, kind, shard, used)
SELECT owner, month, kind, pg_backend_pid() % 64, used
FROM unnest($1::int[], $2::date[], $3::text[], $4::bigint[]) AS added (owner, month, kind, used)
ORDER BY 1, 2, 3
ON CONFLICT (partner_environment_id, month, kind, shard)
DO UPDATE SET used = timestamp_usage.used + excluded.used
"""

_REPORT = """
SELECT month, kind, sum(used)::bigint AS used FROM timestamp_usage
WHERE partner_environment_id = $1 AND month BETWEEN $2 AND $3
GROUP BY month, kind ORDER BY month
"""


_USED_THIS_MONTH = """
SELECT coalesce(sum(used), 0)::bigint FROM timestamp_usage
WHERE partner_environment_id = $1 AND kind = $2
  AND month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
"""

# Any number nobody else pairs with an owner's.
_TURN = 0x5155_4F54


class Meter:
    """Counts calls that only read, and answers how much of a limit is left."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._unwritten: Counter[tuple[int, date, UsageKind]] = Counter()
        self._writing = Loop("usage", self._write, SAFETY_S)

    async def run(self) -> None:
        """Write what is counted, until cancelled."""
        await self._writing.run()

    async def count(self, owner: PartnerEnvironment, kind: UsageKind) -> None:
        """One call that only reads. Raises QuotaExceededError when the month's limit is reached."""
        await self.require(owner, kind)
        self._unwritten[owner.id, _month(self._clock.now()), kind] += 1
        self._writing.wake_within(_FLUSH_S)

    async def require(self, owner: PartnerEnvironment, kind: UsageKind) -> None:
        """Raises QuotaExceededError when nothing of the month's limit is left."""
        limit = _limit(owner.limits, kind)
        if limit is not None and await self.left(owner, kind) <= 0:
            raise QuotaExceededError(f"the month's limit of {limit} {kind} is reached")

    async def left(self, owner: PartnerEnvironment, kind: UsageKind) -> int:
        """What the month's limit leaves; UNLIMITED when there is none."""
        limit = _limit(owner.limits, kind)
        if limit is None:
            return UNLIMITED
        month = _month(self._clock.now())
        async with self._database.connection() as connection:
            rows = await connection.fetch(_REPORT, owner.id, month, month)
        used = sum(row["used"] for row in rows if row["kind"] == kind)
        left: int = max(0, limit - used - self._unwritten[owner.id, month, kind])
        return left

    async def report(
        self, owner: PartnerEnvironment, year: int, month: int | None
    ) -> list[MonthUsage]:
        """The used months of a year, or the one asked for."""
        first = date(year, month or 1, 1)
        last = date(year, month or 12, 1)
        await self.flush()
        async with self._database.connection() as connection:
            rows = await connection.fetch(_REPORT, owner.id, first, last)
        used = {(row["month"], row["kind"]): row["used"] for row in rows}
        months = [first] if month else sorted({at for at, _ in used})
        return [
            MonthUsage(at.year, at.month, *(used.get((at, kind), 0) for kind in UsageKind))
            for at in months
        ]

    async def _write(self) -> bool:
        await self.flush()
        return False

    async def flush(self) -> None:
        """Write what was counted since the last flush."""
        if not self._unwritten:
            return
        counted, self._unwritten = self._unwritten, Counter()
        try:
            async with self._database.transaction() as tx:
                await add(tx, counted)
        except BaseException:
            self._unwritten.update(counted)
            raise


async def left_exactly(tx: Connection, owner: PartnerEnvironment, kind: UsageKind) -> int:
    """What the month's limit leaves, held still until the transaction ends; UNLIMITED without one.

    Owners with a limit wait for each other's turn here, so that no number of calls at once exceeds it.
    """
    limit = _limit(owner.limits, kind)
    if limit is None:
        return UNLIMITED
    await tx.execute("SELECT pg_advisory_xact_lock($1, $2)", _TURN, owner.id)
    used: int = await tx.fetchval(_USED_THIS_MONTH, owner.id, kind)
    return max(0, limit - used)


async def require_exactly(tx: Connection, owner: PartnerEnvironment, kind: UsageKind) -> None:
    """Raises QuotaExceededError when nothing of the month's limit is left; holds as `left_exactly`."""
    if await left_exactly(tx, owner, kind) <= 0:
        limit = _limit(owner.limits, kind)
        raise QuotaExceededError(f"the month's limit of {limit} {kind} is reached")


async def add(tx: Connection, counted: "Counter[tuple[int, date, UsageKind]]") -> None:
    """Add to the counters in the caller's transaction."""
    owners, months, kinds = zip(*counted, strict=True)
    await tx.execute(_ADD, owners, months, kinds, list(counted.values()))


def proof_request(
    owner: PartnerEnvironment, at: datetime
) -> "Counter[tuple[int, date, UsageKind]]":
    """The count of one accepted proof request."""
    return Counter({(owner.id, _month(at), UsageKind.PROOFS): 1})


def _month(at: datetime) -> date:
    return at.date().replace(day=1)


def _limit(limits: Limits, kind: UsageKind) -> int | None:
    limit: int | None = getattr(limits, kind)
    return limit
