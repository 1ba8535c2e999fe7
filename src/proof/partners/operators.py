"""Operators: who may use `/operator/v1`, with credentials of their own.

`proof_ops_<keyid>_<secret>_<crc>`: the parts of a partner's token under another mark, so neither kind
parses as the other.
"""

import asyncio
import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from proof.core.errors import InvalidInputError, NotFoundError, UnavailableError
from proof.core.ids import base62_width, checksum, random_base62
from proof.db import Connection, Database
from proof.partners.audit import Actor, record
from proof.partners.errors import (
    DirectoryStaleError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.tokens import KEY_ID_BITS, SECRET_BITS

# A revoked operator is out within this time. A token that is not known waits for a look at the database,
# and there is one in this time at most: a flood costs twenty small reads a second and no more.
TRUST_S = 0.5
MISS_S = 0.05

_NAME_MAX = 200
_NO_HASH = bytes(32)
_INVALID = "the credential is not valid here"
_SHAPE = re.compile(
    rf"proof_ops_([0-9A-Za-z]{{{base62_width(KEY_ID_BITS)}}})"
    rf"_([0-9A-Za-z]{{{base62_width(SECRET_BITS)}}})"
    r"_([0-9A-Za-z]{6})"
)


class OperatorScope(StrEnum):
    """What an operator's credential is good for; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's credential as stored: the token itself is known to its holder only."""

    key_id: str
    name: str
    scope: OperatorScope
    created_at: datetime
    revoked_at: datetime | None
    token_sha256: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedOperator:
    """A new operator and its token, which is shown this once."""

    key_id: str
    name: str
    scope: OperatorScope
    token: str = field(repr=False)


async def add_operator(
    tx: Connection, name: str, scope: OperatorScope, actor: Actor
) -> IssuedOperator:
    """Issue a credential, in the caller's transaction. Raises InvalidInputError for a bad name."""
    if not name.strip() or len(name) > _NAME_MAX or not name.isprintable():
        raise InvalidInputError(f"name: 1 to {_NAME_MAX} printable characters are required")
    key_id = random_base62(KEY_ID_BITS)
    head = f"proof_ops_{key_id}_{random_base62(SECRET_BITS)}"
    token = f"{head}_{checksum(head)}"
    await tx.execute(
        "INSERT INTO operators (key_id, name, scope, token_sha256) VALUES ($1, $2, $3, $4)",
        key_id,
        name,
        scope,
        hashlib.sha256(token.encode()).digest(),
    )
    after = {"key_id": key_id, "name": name, "scope": scope}
    await record(tx, actor, "operator.add", after=after)
    return IssuedOperator(key_id, name, scope, token)


async def list_operators(connection: Connection) -> list[Operator]:
    """All operators there ever were, the oldest first."""
    rows = await connection.fetch(
        "SELECT key_id, name, scope, created_at, revoked_at, token_sha256 FROM operators"
        " ORDER BY created_at, key_id"
    )
    return [Operator(**{**row, "scope": OperatorScope(row["scope"])}) for row in rows]


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
    """The live operators as one process knows them, no older than half a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Operator] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def admit(self, token: str | None, scope: OperatorScope) -> Operator:
        """Whose token this is.

        Raises MissingTokenError or InvalidTokenError, which tell nothing; ScopeError to the holder of a
        valid token that may only read; DirectoryStaleError when the database does not answer.
        """
        if not token:
            raise MissingTokenError("send an operator's credential as Authorization: Bearer")
        parsed = _SHAPE.fullmatch(token)
        if parsed is None or checksum(token.rpartition("_")[0]) != parsed[3]:
            raise InvalidTokenError(_INVALID)
        presented = hashlib.sha256(token.encode()).digest()
        found = self._genuine(parsed[1], presented)
        # A wrong secret takes the way of an unknown key id, so that time tells neither from the other.
        if found is None or time.monotonic() - self._read_at > TRUST_S:
            await self._read_again(time.monotonic())
            found = self._genuine(parsed[1], presented)
        if found is None:
            raise InvalidTokenError(_INVALID)
        if scope is OperatorScope.WRITE and found.scope is not OperatorScope.WRITE:
            raise ScopeError("this call needs an operator of scope write; yours is of scope read")
        return found

    def _genuine(self, key_id: str, presented: bytes) -> Operator | None:
        found = self._known.get(key_id)
        expected = found.token_sha256 if found else _NO_HASH
        return found if hmac.compare_digest(expected, presented) else None

    async def _read_again(self, asked_at: float) -> None:
        async with self._reading:
            if self._read_at >= asked_at:
                return
            await asyncio.sleep(self._read_at + MISS_S - time.monotonic())
            started = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    operators = await list_operators(connection)
            except UnavailableError as error:
                raise DirectoryStaleError("credentials cannot be checked at the moment") from error
            self._known = {one.key_id: one for one in operators if one.revoked_at is None}
            self._read_at = started
