"""Putting a new credential in the place of old ones, ending one, and showing a partner's.

The old ones go on until the earlier of `grace` after the first use of the new one that passed the whole
gate (see `uses`), and LONGEST after the rotation. Deadlines only ever come nearer, so a second rotation
keeps what the first one set.

Source: ramp API contract, Authentication, "Rotation".
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Connection
from proof.partners.access.networks import Address
from proof.partners.access.tokens import is_key_id, new_token
from proof.partners.audit import Actor, audited_time, record
from proof.partners.environments import environment_id, lock_partner
from proof.partners.types import CredentialKind, Environment

# How long an old token or webhook secret stays valid beside the new one, by default and at most.
GRACE = timedelta(hours=24)
LONGEST = timedelta(days=7)


_INSERT = """
INSERT INTO credentials (key_id, partner_environment_id, kind, token_sha256, created_at, grace)
VALUES ($1, $2, $3, $4, $5, $6)
"""


_DEPRECATE = """
UPDATE credentials
SET deprecated_at = coalesce(deprecated_at, $4), expires_at = least(expires_at, $5)
WHERE partner_environment_id = $1 AND kind = $2 AND key_id <> $3
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)
RETURNING key_id, expires_at
"""


_LIST = """
SELECT c.key_id, e.environment, c.kind, c.created_at, c.expires_at, c.revoked_at,
       u.last_used_at, u.last_address
FROM credentials c JOIN partner_environments e ON e.id = c.partner_environment_id
LEFT JOIN credential_uses u ON u.key_id = c.key_id
WHERE e.partner_id = $1 ORDER BY e.environment, c.kind, c.position DESC
"""


_FIND = """
SELECT c.kind, e.environment, e.partner_id
FROM credentials c JOIN partner_environments e ON e.id = c.partner_environment_id
WHERE c.key_id = $1
"""


def require_grace(grace: timedelta) -> None:
    """Raises InvalidInputError for a grace below 0 or beyond LONGEST."""
    if not timedelta(0) <= grace <= LONGEST:
        raise InvalidInputError(f"grace: 0 to {LONGEST.days} days are possible")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new credential, shown this once, and when each of the old ones ends at the latest."""

    key_id: str
    token: str = field(repr=False)
    ending: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """A credential as people may see it. `state`: active, expiring, expired or revoked."""

    key_id: str
    environment: Environment
    kind: CredentialKind
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    last_address: Address | None


async def rotate(
    tx: Connection,
    partner_id: str,
    environment: Environment,
    kind: CredentialKind,
    actor: Actor,
    now: datetime,
    grace: timedelta = GRACE,
) -> IssuedToken:
    """Issue a new credential; those it takes the place of end as said above, at once without grace.

    Raises NotFoundError when there is no such partner, InvalidInputError for a grace below 0 or beyond
    LONGEST.
    """
    require_grace(grace)
    await lock_partner(tx, partner_id)
    identity = await environment_id(tx, partner_id, environment)
    token = new_token(environment)
    await tx.execute(_INSERT, token.key_id, identity, kind, token.sha256, now, grace)
    latest = now + LONGEST if grace else now
    rows = await tx.fetch(_DEPRECATE, identity, kind, token.key_id, now, latest)
    ending = {row["key_id"]: row["expires_at"] for row in rows}
    after = {
        "key_id": token.key_id,
        "environment": str(environment),
        "kind": str(kind),
        "grace_s": int(grace.total_seconds()),
        "ending": {key_id: audited_time(at) for key_id, at in ending.items()},
    }
    await record(tx, actor, "token.rotate", partner_id, after=after)
    return IssuedToken(token.key_id, token.text, ending)


async def revoke(
    tx: Connection, key_id: str, actor: Actor, now: datetime, partner_id: str | None = None
) -> None:
    """End a credential for good, everywhere within a second; one already revoked stays so.

    Raises NotFoundError when there is none of that key id, or not of the partner named, and
    InvalidInputError, which does not repeat it, for what is none: it may be a whole token.
    """
    if not is_key_id(key_id):
        raise InvalidInputError("that is no key id; `proof token list` shows them")
    row = await tx.fetchrow(_FIND, key_id)
    if row is None or partner_id not in (None, row["partner_id"]):
        raise NotFoundError(f"there is no token with key id {key_id!r}")
    await lock_partner(tx, row["partner_id"])
    revoked = await tx.fetchval(
        "UPDATE credentials SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL"
        " RETURNING true",
        key_id,
        now,
    )
    if revoked:
        before = {"key_id": key_id, "environment": row["environment"], "kind": row["kind"]}
        await record(tx, actor, "token.revoke", row["partner_id"], before=before)


async def list_credentials(
    connection: Connection, partner_id: str, now: datetime
) -> list[CredentialInfo]:
    """Every credential a partner ever had, the newest of each kind first.

    Raises NotFoundError when there is no such partner.
    """
    await environment_id(connection, partner_id, Environment.PRODUCTION)
    return [_info(row, now) for row in await connection.fetch(_LIST, partner_id)]


def _info(row: Any, now: datetime) -> CredentialInfo:
    return CredentialInfo(
        key_id=row["key_id"],
        environment=Environment(row["environment"]),
        kind=CredentialKind(row["kind"]),
        state=_state(row["revoked_at"], row["expires_at"], now),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        last_address=_address(row["last_address"]),
    )


def _state(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> str:
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "active"
    return "expired" if expires_at <= now else "expiring"


def _address(stored: Address | IPv4Interface | IPv6Interface | None) -> Address | None:
    return stored.ip if isinstance(stored, IPv4Interface | IPv6Interface) else stored
