"""Operators: who may use `/operator/v1`, with credentials of their own.

`proof_ops_<keyid>_<secret>_<crc>`: the parts of a partner's token under another mark, so neither kind
parses as the other.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from proof.core.clock import Clock
from proof.core.coalescing import Coalesced
from proof.core.errors import InvalidInputError, NotFoundError, UnavailableError
from proof.core.ids import checksum, random_base62
from proof.db import Connection, Database
from proof.partners.access.networks import Address, Allowlist, is_very_wide
from proof.partners.access.refused_tries import RefusedTries, TryReason
from proof.partners.access.tokens import KEY_ID_BITS, OPERATOR_PREFIX, SECRET_BITS, TOKEN_PARTS
from proof.partners.audit import Actor, record
from proof.partners.errors import (
    AddressNotAllowedError,
    DirectoryStaleError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.types import Network

# A revoked operator is refused after this time at the latest. A token that is not known waits for the next
# read of the database, of which there is at most one in this time: a flood costs twenty small reads a
# second.
TRUST_S = 0.5

MISS_S = 0.05


DEFAULT_DAYS = 365

MOST_DAYS = 3_650


_NAME_MAX = 200

_NO_HASH = bytes(32)

_SHAPE = re.compile(OPERATOR_PREFIX + TOKEN_PARTS)


class OperatorScope(StrEnum):
    """What an operator's credential is good for; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's credential as stored: the token itself is known to its holder only. Without
    `networks` it is good from any address."""

    key_id: str
    name: str
    scope: OperatorScope
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    networks: tuple[Network, ...]
    token_sha256: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedOperator:
    """A new operator and its token, which is shown this once."""

    key_id: str
    name: str
    scope: OperatorScope
    expires_at: datetime
    networks: tuple[Network, ...]
    token: str = field(repr=False)


async def add_operator(
    tx: Connection,
    name: str,
    scope: OperatorScope,
    actor: Actor,
    *,
    days: int = DEFAULT_DAYS,
    networks: Sequence[Network] = (),
) -> IssuedOperator:
    """Issue a credential that is good for so many days from these networks, or from any address when
    there are none; in the caller's transaction.

    Raises InvalidInputError for a bad name, a number of days out of bounds or a very wide network.
    """
    _require_sound(name, days, networks)
    distinct = tuple(dict.fromkeys(networks))
    key_id = random_base62(KEY_ID_BITS)
    head = f"{OPERATOR_PREFIX}{key_id}_{random_base62(SECRET_BITS)}"
    token = f"{head}_{checksum(head)}"
    expires_at: datetime = await tx.fetchval(
        "INSERT INTO operators (key_id, name, scope, token_sha256, networks, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, now() + make_interval(days => $6)) RETURNING expires_at",
        key_id,
        name,
        scope,
        hashlib.sha256(token.encode()).digest(),
        distinct,
        days,
    )
    after = {
        "key_id": key_id,
        "name": name,
        "scope": scope,
        "expires_at": expires_at.isoformat(),
        "ips": [str(network) for network in distinct],
    }
    await record(tx, actor, "operator.add", after=after)
    return IssuedOperator(key_id, name, scope, expires_at, distinct, token)


def _require_sound(name: str, days: int, networks: Sequence[Network]) -> None:
    if not name.strip() or len(name) > _NAME_MAX or not name.isprintable():
        raise InvalidInputError(f"name: 1 to {_NAME_MAX} printable characters are required")
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInputError(f"days: 1 to {MOST_DAYS} are possible, not {days}")
    wide = next(filter(is_very_wide, networks), None)
    if wide is not None:
        raise InvalidInputError(
            f"ips: {wide} is wider than /8 (IPv4) or /32 (IPv6); name narrower networks, or none to"
            " let every address in"
        )


async def list_operators(connection: Connection) -> list[Operator]:
    """All operators there ever were, the oldest first."""
    rows = await connection.fetch(
        "SELECT key_id, name, scope, created_at, expires_at, revoked_at, networks, token_sha256"
        " FROM operators ORDER BY created_at, key_id"
    )
    return [
        Operator(
            **{**row, "scope": OperatorScope(row["scope"]), "networks": tuple(row["networks"])}
        )
        for row in rows
    ]


async def revoke_operator(tx: Connection, key_id: str, actor: Actor) -> None:
    """End a credential for good; one already revoked stays so.

    Raises NotFoundError when there is none of that key id.
    """
    row = None
    if key_id.isascii() and key_id.isalnum():  # anything else PostgreSQL may not even take
        row = await tx.fetchrow(
            "SELECT name, scope, revoked_at FROM operators WHERE key_id = $1 FOR UPDATE", key_id
        )
    if row is None:
        raise NotFoundError(f"there is no operator {key_id!r}")
    if row["revoked_at"] is not None:
        return
    await tx.execute("UPDATE operators SET revoked_at = now() WHERE key_id = $1", key_id)
    before = {"key_id": key_id, "name": row["name"], "scope": row["scope"]}
    await record(tx, actor, "operator.revoke", before=before)


class Operators:
    """The operators as one process knows them, no older than half a second."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._refused = RefusedTries()
        self._known: dict[str, tuple[Operator, Allowlist]] = {}
        self._read_at = float("-inf")
        self._reading = Coalesced(self._read, MISS_S)

    async def admit(
        self, token: str | None, scope: OperatorScope, address: Address, request_id: str
    ) -> Operator:
        """Whose token this is.

        Raises MissingTokenError or InvalidTokenError, which tell nothing; to the holder of a valid token
        ScopeError, when it may only read, and AddressNotAllowedError; DirectoryStaleError when the
        database does not answer.
        """
        if not token:
            self._refused.note(TryReason.MISSING, address, request_id)
            raise MissingTokenError("send an operator's credential as Authorization: Bearer")
        parsed = _SHAPE.fullmatch(token)
        key_id = None if parsed is None else parsed[1]
        genuine = None if key_id is None else await self._genuine(token, key_id)
        reason = self._refusal(token, genuine, scope, address)
        if reason is not None:
            self._refused.note(reason, address, request_id, key_id)
        if genuine is None or reason in (TryReason.REVOKED, TryReason.EXPIRED):
            raise InvalidTokenError
        operator, _ = genuine
        if reason is TryReason.SCOPE:
            raise ScopeError("this call needs an operator of scope write; yours is of scope read")
        if reason is TryReason.ADDRESS:
            raise AddressNotAllowedError(
                f"{address} is not on the allowlist of this token; ask for one that is good from there"
            )
        return operator

    def several_tokens(self, address: Address, request_id: str) -> None:
        """Tell the log of a try with tokens that differ, of which none is checked."""
        self._refused.note(TryReason.SEVERAL, address, request_id)

    def close(self) -> None:
        """Tell the log of refused tries that it does not know of yet."""
        self._refused.flush()

    def _refusal(
        self,
        token: str,
        genuine: tuple[Operator, Allowlist] | None,
        scope: OperatorScope,
        address: Address,
    ) -> TryReason | None:
        if genuine is None:
            return TryReason.UNKNOWN if _is_whole(token) else TryReason.MALFORMED
        operator, allowlist = genuine
        if operator.revoked_at is not None:
            return TryReason.REVOKED
        if operator.expires_at <= self._clock.now():
            return TryReason.EXPIRED
        if scope is OperatorScope.WRITE and operator.scope is not OperatorScope.WRITE:
            return TryReason.SCOPE
        if not allowlist.is_empty and not allowlist.holds(address):
            return TryReason.ADDRESS
        return None

    async def _genuine(self, token: str, key_id: str) -> tuple[Operator, Allowlist] | None:
        if not _is_whole(token):
            return None
        presented = hashlib.sha256(token.encode()).digest()
        found = self._matching(key_id, presented)
        # A wrong secret takes the same steps as an unknown key id, so that time tells neither from the
        # other.
        if found is None or time.monotonic() - self._read_at > TRUST_S:
            await self._reading.get()
            found = self._matching(key_id, presented)
        return found

    def _matching(self, key_id: str, presented: bytes) -> tuple[Operator, Allowlist] | None:
        found = self._known.get(key_id)
        expected = found[0].token_sha256 if found else _NO_HASH
        return found if hmac.compare_digest(expected, presented) else None

    async def _read(self) -> None:
        started = time.monotonic()
        try:
            async with self._database.connection() as connection:
                operators = await list_operators(connection)
        except UnavailableError as error:
            raise DirectoryStaleError from error
        self._known = {
            operator.key_id: (operator, Allowlist(operator.networks)) for operator in operators
        }
        self._read_at = started


def _is_whole(token: str) -> bool:
    """Whether it has the form of an operator's token and its check digits are right."""
    head, _, check = token.rpartition("_")
    return _SHAPE.fullmatch(token) is not None and checksum(head) == check
