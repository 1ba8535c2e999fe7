"""When and from where each credential was last used; and what the first use of a new one ends.

Uses are kept in memory and written once a second: of each credential the first of that second, which
stands for those that follow it. A killed process loses its second's. A first use that others wait for is
written at once: the deadlines it sets are durable and, through the directory's version, known to every
process within a second. Stopped before that commit, the next use is the first one; repeated after it,
nothing moves, for the first use stands.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from proof.core.clock import Clock
from proof.db import Connection, Database
from proof.partners.access.credentials import Credential
from proof.partners.access.networks import Address
from proof.partners.audit import Actor, audited_time, record

# Rows are written in the order of keys: in any other two processes could deadlock.
_WRITE = """
INSERT INTO credential_uses (key_id, first_used_at, last_used_at, last_address)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::inet[]) ORDER BY 1
ON CONFLICT (key_id) DO UPDATE
SET last_used_at = excluded.last_used_at, last_address = excluded.last_address
WHERE credential_uses.last_used_at < excluded.last_used_at
"""


# Every change of credentials locks its partner first, and several partners in one order: see
# `environments.lock_partner`.
_LOCK_PARTNERS = """
SELECT true FROM partners WHERE id IN (
    SELECT e.partner_id FROM credentials c
    JOIN partner_environments e ON e.id = c.partner_environment_id WHERE c.key_id = ANY($1::text[]))
ORDER BY id FOR UPDATE
"""


_START_GRACE = """
UPDATE credentials c SET expires_at = ended.at
FROM (SELECT old.key_id, min(used.first_used_at + new.grace) AS at,
             array_agg(new.key_id ORDER BY new.position) AS successors
      FROM credentials new JOIN credential_uses used ON used.key_id = new.key_id
      JOIN credentials old ON old.partner_environment_id = new.partner_environment_id
          AND old.kind = new.kind AND old.position < new.position
      WHERE new.key_id = ANY($1::text[]) GROUP BY old.key_id) ended
JOIN partner_environments e ON true
WHERE c.key_id = ended.key_id AND e.id = c.partner_environment_id AND c.revoked_at IS NULL
    AND (c.expires_at IS NULL OR c.expires_at > ended.at)
RETURNING c.key_id, c.expires_at, e.partner_id, ended.successors
"""


class _Use(NamedTuple):
    first_at: datetime
    last_at: datetime
    address: Address


class Uses:
    """What one process has seen since it last wrote. `hurry` is called when a write should not wait."""

    def __init__(self, database: Database, clock: Clock, hurry: Callable[[], None]) -> None:
        self._database = database
        self._hurry = hurry
        self._clock = clock
        self._unwritten: dict[str, _Use] = {}
        # The key ids noted since the last attempt to write.
        self._noted: set[str] = set()
        self._awaited: set[str] = set()
        # Key ids whose first use was announced: until the directory knows of it, every further use looks
        # like the first.
        self._announced: set[str] = set()

    def note(self, credential: Credential, address: Address) -> None:
        """One call that passed the whole gate."""
        key_id = credential.key_id
        if key_id in self._noted:
            return
        self._noted.add(key_id)
        now, before = self._clock.now(), self._unwritten.get(key_id)
        self._unwritten[key_id] = _Use(now if before is None else before.first_at, now, address)
        if credential.awaited and key_id not in self._announced:
            self._announced.add(key_id)
            self._awaited.add(key_id)
            self._hurry()

    async def flush(self) -> None:
        """Write what was noted. Raises DatabaseUnavailableError; then it is kept for the next time."""
        self._noted.clear()
        if not self._unwritten:
            return
        uses, self._unwritten = self._unwritten, {}
        awaited, self._awaited = self._awaited, set()
        try:
            async with self._database.transaction() as tx:
                await _write(tx, uses)
                if awaited:
                    await _start_grace(tx, list(awaited))
        except BaseException:
            self._keep(uses)
            self._awaited |= awaited
            raise

    def _keep(self, uses: dict[str, _Use]) -> None:
        for key_id, use in uses.items():
            later = self._unwritten.get(key_id)
            self._unwritten[key_id] = (
                use if later is None else later._replace(first_at=use.first_at)
            )


async def _write(tx: Connection, uses: dict[str, _Use]) -> None:
    firsts, lasts, addresses = zip(*uses.values(), strict=True)
    await tx.execute(_WRITE, list(uses), firsts, lasts, addresses)


async def _start_grace(tx: Connection, key_ids: list[str]) -> None:
    await tx.execute(_LOCK_PARTNERS, key_ids)
    ended = await tx.fetch(_START_GRACE, key_ids)
    for row in ended:
        ends = audited_time(row["expires_at"])
        after = {"key_id": row["key_id"], "expires_at": ends, "successor_used": row["successors"]}
        await record(tx, Actor("gate"), "token.grace_started", row["partner_id"], after=after)
