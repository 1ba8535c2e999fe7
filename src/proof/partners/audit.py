"""The audit log: what operators and credentials did. Appended to, never changed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from proof.core.canonical import canonical_json
from proof.core.errors import ProofError
from proof.db import Connection
from proof.partners.access.tokens import SECRET_PREFIXES

_SECRET = re.compile("|".join(SECRET_PREFIXES))


WRITTEN = "proof_audit_written"
"""What PostgreSQL notifies when an entry is written."""

LIST_AT_MOST = 1_000


class SecretInAuditError(ProofError):
    """An entry would hold what looks like a secret; nothing was written."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from where, in which request. `name` is `cli:` with the system's user and host, `start`,
    `worker`, `gate`, an operator's key id, or `token` and a partner's."""

    name: str
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as stored; `before` and `after` hold what changed, without secrets."""

    id: int
    at: datetime
    actor: str
    address: str | None
    request_id: str | None
    action: str
    partner_id: str | None
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are meant; None leaves a condition out.

    `actor` is part of a name; `action` one action, or what stands before its dot; `since` and `until`
    (exclusive) bound the time; `before_id` is for the next page.
    """

    partner_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None


EVERYTHING = AuditQuery()


def audited_time(moment: datetime) -> str:
    """A moment as entries hold it: ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


async def record(
    tx: Connection,
    actor: Actor,
    action: str,
    partner_id: str | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry in the caller's transaction: it is there if and only if the act is.

    `before` and `after` hold what changed, without secrets, and have a canonical form (no floating
    point, ASCII keys), because the entry will be hashed. Raises TypeError when they have none, and
    SecretInAuditError, which names the place and not the value, for what looks like a secret of ours.
    """
    written = (actor.name, actor.address, actor.request_id, action, partner_id)
    for part, value in (("the entry", written), ("before", before), ("after", after)):
        _require_no_secret(part, value)
    await tx.execute(
        "INSERT INTO audit_log (actor, address, request_id, action, partner_id, before, after)"
        f" VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb) RETURNING pg_notify('{WRITTEN}', '')",
        *written,
        _json(before),
        _json(after),
    )


async def newest_entries(
    connection: Connection, limit: int, wanted: AuditQuery = EVERYTHING
) -> list[Entry]:
    """The entries that are wanted, the newest first, at most LIST_AT_MOST."""
    rows = await connection.fetch(
        "SELECT id, at, actor, address, request_id, action, partner_id, before, after"
        " FROM audit_log WHERE ($2::text IS NULL OR partner_id = $2)"
        " AND ($3::text IS NULL OR strpos(actor, $3) > 0)"
        " AND ($4::text IS NULL OR action = $4 OR starts_with(action, $4 || '.'))"
        " AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)"
        " AND ($7::bigint IS NULL OR id < $7) ORDER BY id DESC LIMIT $1",
        min(limit, LIST_AT_MOST),
        wanted.partner_id,
        wanted.actor,
        wanted.action,
        wanted.since,
        wanted.until,
        wanted.before_id,
    )
    return [entry_from(row) for row in rows]


def entry_from(row: Any) -> Entry:
    """An entry from a row that holds its columns."""
    return Entry(
        id=row["id"],
        at=row["at"],
        actor=row["actor"],
        address=row["address"],
        request_id=row["request_id"],
        action=row["action"],
        partner_id=row["partner_id"],
        before=_parsed(row["before"]),
        after=_parsed(row["after"]),
    )


def _parsed(text: str | None) -> Any:
    # The table holds whole numbers only; jsonb may give one back as 1.0.
    return None if text is None else json.loads(text, parse_float=_whole)


def _whole(text: str) -> int:
    return int(Decimal(text))


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else canonical_json(dict(value)).decode()


def _require_no_secret(part: str, value: Any) -> None:
    for place, text in _texts(part, value):
        if _SECRET.search(text):
            raise SecretInAuditError(
                f"an audit entry must not hold a secret; {place} looks like one"
            )


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text inside `value` with its place, keys included."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield f"a key of {place}", str(key)
            yield from _texts(f"{place}.{key}", member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(place, member)
