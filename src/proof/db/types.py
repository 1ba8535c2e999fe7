"""What a connection is, pooled or not, and the ids that rows are made with."""

import os
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pgproto import pgproto
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    # asyncpg's classes are generic for type checkers only.
    Connection = asyncpg.Connection | PoolConnectionProxy

_RANDOM_BITS = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_4 = 0x4000 << 64 | 0x8000 << 48


def random_id() -> UUID:
    """A random UUID (RFC 9562, version 4), of the type that rows have: the driver sends it as it is, and it
    is made and written as text several times faster than `uuid4`'s."""
    number = int.from_bytes(os.urandom(16), "big") & _RANDOM_BITS | _VERSION_4
    return pgproto.UUID(number.to_bytes(16, "big"))
