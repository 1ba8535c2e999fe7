"""The chain over the audit log: every entry gets its position and hash after its commit.

    hash = SHA-256(hash before ‖ canonical JSON of the entry)      32 zero bytes before the first

Entries commit out of order, so their ids are no order to chain by: a trigger notes each entry in the
transaction that writes it, and one chainer at a time, under an advisory lock, appends what it can see.
An entry that becomes visible later gets a later position.

Stopped before the commit of `extend`, nothing happened; after it, entries are chained once. Heads that
enter the timestamp log are noted only once they are durable there: stopped in between, the same heads are
submitted again, which changes nothing.

Verification recomputes the chain over the log and names the first place that is not as it was written. What
the chain alone cannot show: an end cut off together with its entries, or a chain computed anew as a whole.
The heads in the timestamp log show both: the hash of every position is one of them
(`proof.timestamps.proofs.audit_heads`).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from proof.core.canonical import canonical_json
from proof.core.errors import NotFoundError
from proof.db import Connection, Database
from proof.partners.audit import Entry, entry_from
from proof.partners.environments import SYSTEM_PARTNER
from proof.partners.types import Environment, Limits, PartnerEnvironment

ZERO = bytes(32)
BATCH = 500

# The key of an advisory lock that nothing else takes.
_CHAIN_LOCK = 0x4155_4449_54

# The owner of the heads in the timestamp log; it has no credentials (migration 0004).
SYSTEM = PartnerEnvironment(
    id=0,
    partner_id=SYSTEM_PARTNER,
    environment=Environment.PRODUCTION,
    limits=Limits(),
    suspended=False,
    allowlists={},
)
_ENTRY = "e.id, e.at, e.actor, e.address, e.request_id, e.action, e.partner_id, e.before, e.after"

# An entry that is chained already is passed over, should it be noted a second time.
_UNCHAINED = f"""
SELECT {_ENTRY} FROM audit_unchained u JOIN audit_log e ON e.id = u.entry_id
WHERE NOT EXISTS (SELECT FROM audit_chain c WHERE c.entry_id = u.entry_id)
ORDER BY e.id LIMIT $1
"""
_LINKS = f"""
SELECT c.position, c.entry_id, c.hash, {_ENTRY}
FROM audit_chain c LEFT JOIN audit_log e ON e.id = c.entry_id
WHERE c.position > $1 ORDER BY c.position LIMIT $2
"""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Head:
    """The chain up to `position`: the hash pins every entry until `entry_id` and their order."""

    position: int
    entry_id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One position of the chain. `entry` is None when the log no longer holds it."""

    head: Head
    previous: bytes
    entry: Entry | None

    def problem(self) -> str | None:
        """Why this is not what follows `previous`; None when it is. Not checked: the position."""
        entry_id, position = self.head.entry_id, self.head.position
        if self.entry is None:
            return f"entry {entry_id} at position {position} is missing"
        if entry_hash(self.previous, self.entry) != self.head.hash:
            return (
                f"entry {entry_id} at position {position} does not make its hash:"
                " it, or the order, was altered here"
            )
        return None


def entry_hash(previous: bytes, entry: Entry) -> bytes:
    """The hash of the position that `entry` takes after `previous`."""
    return sha256(previous + canonical_json(wire(entry))).digest()


def wire(entry: Entry) -> dict[str, object]:
    """An entry as it is hashed and exported; times in UTC with six digits after the point."""
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return {
        "id": entry.id,
        "at": at.replace("+00:00", "Z"),
        "actor": entry.actor,
        "address": entry.address,
        "request_id": entry.request_id,
        "action": entry.action,
        "partner_id": entry.partner_id,
        "before": entry.before,
        "after": entry.after,
    }


async def extend(database: Database) -> int:
    """Chain committed entries; how many. Nothing while another chainer is at work."""
    async with database.connection() as connection:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM audit_unchained)"):
            return 0
    async with database.transaction() as tx:
        if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _CHAIN_LOCK):
            return 0
        head = await newest_head(tx)
        entries = [entry_from(row) for row in await tx.fetch(_UNCHAINED, BATCH)]
        links = _linked(head, entries)
        await tx.execute(
            "INSERT INTO audit_chain (position, entry_id, hash)"
            " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
            [link.position for link in links],
            [link.entry_id for link in links],
            [link.hash for link in links],
        )
        await tx.execute(
            "DELETE FROM audit_unchained WHERE entry_id = ANY($1::bigint[])",
            [link.entry_id for link in links],
        )
    return len(links)


async def newest_head(connection: Connection) -> Head | None:
    """How far the chain is; None before the first entry."""
    return _head(
        await connection.fetchrow(
            "SELECT position, entry_id, hash FROM audit_chain ORDER BY position DESC LIMIT 1"
        )
    )


async def head_at(connection: Connection, position: int) -> Head | None:
    """What the chain holds at a position."""
    return _head(
        await connection.fetchrow(
            "SELECT position, entry_id, hash FROM audit_chain WHERE position = $1", position
        )
    )


async def waiting(connection: Connection) -> int:
    """How many entries are not chained yet."""
    count: int = await connection.fetchval("SELECT count(*) FROM audit_unchained")
    return count


async def heads_after(connection: Connection, position: int, limit: int) -> list[tuple[Head, bool]]:
    """The chain beyond a position, in order, each with whether it is noted as submitted."""
    rows = await connection.fetch(
        "SELECT position, entry_id, hash, h.position IS NOT NULL AS noted"
        " FROM audit_chain c LEFT JOIN audit_heads h USING (position)"
        " WHERE position > $1 ORDER BY position LIMIT $2",
        position,
        limit,
    )
    return [(Head(row["position"], row["entry_id"], row["hash"]), row["noted"]) for row in rows]


async def note_submitted(tx: Connection, heads: Sequence[Head], now: datetime) -> None:
    """Heads are durable among the timestamp submissions; saying so twice is harmless."""
    await tx.execute(
        "INSERT INTO audit_heads (position, submitted_at)"
        " SELECT position, $2 FROM unnest($1::bigint[]) AS position ON CONFLICT DO NOTHING",
        [head.position for head in heads],
        now,
    )


async def submitted_head(connection: Connection, position: int) -> Head | None:
    """The newest head, up to a position, that entered the timestamp log."""
    return _head(
        await connection.fetchrow(
            "SELECT position, entry_id, hash FROM audit_heads JOIN audit_chain USING (position)"
            " WHERE position <= $1 ORDER BY position DESC LIMIT 1",
            position,
        )
    )


async def link_of(connection: Connection, entry_id: int) -> Link | None:
    """The place of an entry in the chain. None for one that waits to be chained; raises NotFoundError for
    one that the log does not have."""
    position = await connection.fetchval(
        "SELECT position FROM audit_chain WHERE entry_id = $1", entry_id
    )
    if position is not None:
        (row,) = await connection.fetch(_LINKS, position - 1, 1)
        before = await head_at(connection, position - 1)
        return _link(row, before.hash if before else ZERO)
    if await connection.fetchval("SELECT EXISTS (SELECT FROM audit_log WHERE id = $1)", entry_id):
        return None
    raise NotFoundError(
        f"the audit log has no entry {entry_id}; `proof audit list` shows their numbers"
    )


async def not_in_chain(connection: Connection, hashes: Sequence[bytes]) -> list[bytes]:
    """Those of the hashes that the chain holds nowhere."""
    rows = await connection.fetch(
        "SELECT given.hash FROM unnest($1::bytea[]) AS given (hash)"
        " WHERE NOT EXISTS (SELECT FROM audit_chain c WHERE c.hash = given.hash)",
        list(hashes),
    )
    return [row["hash"] for row in rows]


async def stray_entry(connection: Connection) -> int | None:
    """The first entry of the log that is neither chained nor waiting to be."""
    entry_id: int | None = await connection.fetchval(
        "SELECT min(id) FROM audit_log e"
        " WHERE NOT EXISTS (SELECT FROM audit_chain c WHERE c.entry_id = e.id)"
        " AND NOT EXISTS (SELECT FROM audit_unchained u WHERE u.entry_id = e.id)"
    )
    return entry_id


async def first_position_since(connection: Connection, since: datetime) -> int | None:
    """The first position whose entry is not older than `since`."""
    position: int | None = await connection.fetchval(
        "SELECT min(c.position) FROM audit_chain c JOIN audit_log e ON e.id = c.entry_id"
        " WHERE e.at >= $1",
        since,
    )
    return position


async def links(connection: Connection, after: int = 0) -> AsyncIterator[Link]:
    """The chain beyond a position, in order. `previous` is the stored hash of the position before."""
    before = await head_at(connection, after) if after else None
    previous, position = before.hash if before else ZERO, after
    while rows := await connection.fetch(_LINKS, position, BATCH):
        for row in rows:
            yield _link(row, previous)
            previous, position = row["hash"], row["position"]


def _linked(head: Head | None, entries: Sequence[Entry]) -> list[Head]:
    position, hashed = (head.position, head.hash) if head else (0, ZERO)
    linked = []
    for entry in entries:
        position, hashed = position + 1, entry_hash(hashed, entry)
        linked.append(Head(position, entry.id, hashed))
    return linked


def _link(row: Any, previous: bytes) -> Link:
    entry = None if row["id"] is None else entry_from(row)
    return Link(Head(row["position"], row["entry_id"], row["hash"]), previous, entry)


def _head(row: Any) -> Head | None:
    return None if row is None else Head(row["position"], row["entry_id"], row["hash"])


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """How much of the chain was recomputed, `waiting` entries not in it yet, and what was found."""

    checked: int
    waiting: int
    head: Head | None
    findings: tuple[str, ...]


async def verify_chain(connection: Connection, progress: Progress) -> VerifiedChain:
    """Recompute every hash from the entries, in the caller's snapshot.

    The walk ends at the first position that is wrong, since nothing pins what follows. `progress` is
    told how many positions a step was. Changes nothing.
    """
    checked, findings = 0, list[str]()
    async for link in links(connection):
        expected = checked + 1
        problem = link.problem()
        if link.head.position != expected:
            problem = f"position {expected} is missing; the next is {link.head.position}"
        if problem:
            findings.append(problem)
            break
        checked = expected
        if checked % BATCH == 0:
            progress(BATCH)
    stray = await stray_entry(connection)
    if stray is not None:
        findings.append(f"entry {stray} is in the log, but neither chained nor waiting to be")
    return VerifiedChain(
        checked, await waiting(connection), await newest_head(connection), tuple(findings)
    )
