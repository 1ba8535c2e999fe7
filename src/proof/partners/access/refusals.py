"""Whom the gate turned away although it knew them, counted by the minute.

Only the holder of a token that is or was valid is counted, so a flood of made-up ones writes nothing. Of a
holder who comes from ever new addresses no more than ADDRESSES_A_MINUTE are kept apart in a minute by each
process, IPv6 ones by their /64; the others are counted together, without an address.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from proof.db import Connection, Database
from proof.partners.access.networks import Address, site
from proof.partners.environments import environment_names
from proof.partners.types import CredentialKind, Environment, Network

ADDRESSES_A_MINUTE = 32

# The partition of a week is made this long before the week begins; rows without one go to the default
# partition.
AHEAD = timedelta(days=28)


_ADD = """
INSERT INTO refusals (minute, partner_environment_id, kind, reason, network, key_id, count, last_at)
SELECT * FROM unnest($1::timestamptz[], $2::int[], $3::text[], $4::text[], $5::cidr[], $6::text[],
                     $7::bigint[], $8::timestamptz[]) ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (minute, partner_environment_id, kind, reason, network, key_id) DO UPDATE
SET count = refusals.count + excluded.count, last_at = greatest(refusals.last_at, excluded.last_at)
"""


_SUMMARY = """
SELECT e.partner_id, p.name, e.environment, r.kind, r.reason, r.network, r.key_id,
       sum(r.count)::bigint AS count, max(r.last_at) AS last_at
FROM refusals r JOIN partner_environments e ON e.id = r.partner_environment_id
JOIN partners p ON p.id = e.partner_id
WHERE r.minute >= date_trunc('minute', $1::timestamptz) AND ($2::text IS NULL OR p.id = $2)
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY last_at DESC, network LIMIT $3
"""


class Reason(StrEnum):
    """Why a known caller was turned away."""

    ADDRESS = "ip_not_allowed"
    # The allowlist is in report mode: the call was let in.
    REPORTED = "ip_would_be_refused"
    KIND = "scope_missing"
    ENVIRONMENT = "wrong_environment"
    ORIGIN = "forbidden_origin"
    SUSPENDED = "suspended"
    RATE = "rate_limited"
    EXPIRED = "token_expired"
    REVOKED = "token_revoked"


class _Key(NamedTuple):
    minute: datetime
    owner_id: int
    kind: CredentialKind
    reason: Reason
    network: Network | None
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One caller's refusals for one reason. `network` is the address, or the /64, that was seen; None for
    further ones. `kind` is that of the token sent, `key_id` its key id when it was expired or revoked."""

    partner_id: str
    name: str
    environment: Environment
    kind: CredentialKind
    reason: Reason
    network: Network | None
    key_id: str | None
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
        self,
        owner_id: int,
        kind: CredentialKind,
        reason: Reason,
        address: Address,
        now: datetime,
        key_id: str | None = None,
    ) -> None:
        """One call by the holder of a token; its key id tells apart tokens that are over."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute = minute
            self._seen.clear()
        network = self._told_apart(owner_id, site(address))
        key = _Key(minute, owner_id, kind, reason, network, key_id)
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
    await tx.execute(_ADD, *zip(*counted, strict=True), *zip(*counted.values(), strict=True))


async def list_refusals(
    connection: Connection, since: datetime, partner_id: str | None, limit: int
) -> list[Refusal]:
    """Refusals since then, of one partner or of all, the latest first.

    Raises NotFoundError when a partner is named that there is not.
    """
    if partner_id is not None:
        await environment_names(connection, partner_id)
    rows = await connection.fetch(_SUMMARY, since, partner_id, limit)
    return [
        Refusal(
            row["partner_id"],
            row["name"],
            Environment(row["environment"]),
            CredentialKind(row["kind"]),
            Reason(row["reason"]),
            row["network"],
            row["key_id"],
            row["count"],
            row["last_at"],
        )
        for row in rows
    ]


async def keep_weeks(database: Database, now: datetime, kept: timedelta) -> int:
    """Drop the weeks that lie wholly before `now - kept`, make those to come; how many either.

    Any number of workers may do it at once: one at a time does. Raises DatabaseUnavailableError.
    """
    async with database.connection() as connection:
        changed: int = await connection.fetchval(
            "SELECT keep_refusals($1, $2)", now - kept, now + AHEAD
        )
    return changed
