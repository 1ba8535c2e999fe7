"""Whom the gate turned away although it knew them, counted by the minute.

Only the holder of a valid token is counted, so a flood of made-up ones writes nothing. Of a holder who
comes from ever new addresses no more than ADDRESSES_A_MINUTE are kept apart in a minute by each process,
IPv6 ones by their /64; the others are counted together, without an address.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from proof.db import Connection, Database
from proof.partners.networks import Address, site
from proof.partners.types import CredentialKind, Environment, Network

ADDRESSES_A_MINUTE = 32
# Small enough that a deletion holds no lock for long.
PRUNE_BATCH = 5_000

_ADD = """
INSERT INTO refusals (minute, partner_environment_id, kind, reason, network, count, last_at)
SELECT * FROM unnest($1::timestamptz[], $2::int[], $3::text[], $4::text[], $5::cidr[], $6::bigint[],
                     $7::timestamptz[]) ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (minute, partner_environment_id, kind, reason, network) DO UPDATE
SET count = refusals.count + excluded.count, last_at = greatest(refusals.last_at, excluded.last_at)
"""

_SUMMARY = """
SELECT e.partner_id, p.name, e.environment, r.kind, r.reason, r.network,
       sum(r.count)::bigint AS count, max(r.last_at) AS last_at
FROM refusals r JOIN partner_environments e ON e.id = r.partner_environment_id
JOIN partners p ON p.id = e.partner_id
WHERE r.minute >= date_trunc('minute', $1::timestamptz) AND ($2::text IS NULL OR p.id = $2)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY last_at DESC, network LIMIT $3
"""

_PRUNE = """
DELETE FROM refusals WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM refusals WHERE minute < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
"""


class Reason(StrEnum):
    """Why a known caller was turned away."""

    ADDRESS = "ip_not_allowed"
    # The allowlist only reports: the call was let in.
    REPORTED = "ip_would_be_refused"
    KIND = "scope_missing"
    ENVIRONMENT = "wrong_environment"
    SUSPENDED = "suspended"
    RATE = "rate_limited"


class _Key(NamedTuple):
    minute: datetime
    owner_id: int
    kind: CredentialKind
    reason: Reason
    network: Network | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One caller's refusals for one reason. `network` is the address, or the /64, that was seen; None for
    further ones. `kind` is that of the token sent."""

    partner_id: str
    name: str
    environment: Environment
    kind: CredentialKind
    reason: Reason
    network: Network | None
    count: int
    last_at: datetime


class Refusals:
    """What one process has counted since it last wrote."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[_Key, tuple[int, datetime]] = {}
        self._minute: datetime | None = None
        self._seen: defaultdict[int, set[Network]] = defaultdict(set)

    def note(
        self, owner_id: int, kind: CredentialKind, reason: Reason, address: Address, now: datetime
    ) -> None:
        """One call by the holder of a valid token."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute = minute
            self._seen.clear()
        key = _Key(minute, owner_id, kind, reason, self._told_apart(owner_id, site(address)))
        count, _ = self._counted.get(key, (0, now))
        self._counted[key] = (count + 1, now)

    async def flush(self) -> None:
        """Write what was counted. Raises DatabaseUnavailableError; then it is kept for the next time."""
        if not self._counted:
            return
        counted, self._counted = self._counted, {}
        try:
            async with self._database.transaction() as tx:
                await _add(tx, counted)
        except BaseException:
            for key, (count, last_at) in counted.items():
                more, later = self._counted.get(key, (0, last_at))
                self._counted[key] = (count + more, later)
            raise

    def _told_apart(self, owner_id: int, network: Network) -> Network | None:
        seen = self._seen[owner_id]
        if network in seen:
            return network
        if len(seen) == ADDRESSES_A_MINUTE:
            return None
        seen.add(network)
        return network


async def _add(tx: Connection, counted: dict[_Key, tuple[int, datetime]]) -> None:
    minutes, owners, kinds, reasons, networks = zip(*counted, strict=True)
    counts, last = zip(*counted.values(), strict=True)
    await tx.execute(_ADD, minutes, owners, kinds, reasons, networks, counts, last)


async def list_refusals(
    connection: Connection, since: datetime, partner_id: str | None, limit: int
) -> list[Refusal]:
    """Refusals since then, of one partner or of all, the latest first."""
    rows = await connection.fetch(_SUMMARY, since, partner_id, limit)
    return [
        Refusal(
            row["partner_id"],
            row["name"],
            Environment(row["environment"]),
            CredentialKind(row["kind"]),
            Reason(row["reason"]),
            row["network"],
            row["count"],
            row["last_at"],
        )
        for row in rows
    ]


async def prune(database: Database, now: datetime, kept: timedelta) -> bool:
    """Delete a batch of refusals older than `kept`; whether there may be more."""
    async with database.connection() as connection:
        done = await connection.execute(_PRUNE, now - kept, PRUNE_BATCH)
    return done == f"DELETE {PRUNE_BATCH}"
