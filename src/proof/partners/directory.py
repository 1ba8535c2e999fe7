"""Every credential in memory, re-read when the database says something changed.

The gate stands before every request, so it asks no database. Each process polls one version number
and loads everything anew when it moved; a token that is not found asks for a look at once, so a new
partner can call immediately. When the version cannot be read for a second, nothing is trusted.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from proof.core.errors import DatabaseUnavailableError
from proof.db import Connection, Database
from proof.partners import queries
from proof.partners.errors import DirectoryStaleError
from proof.partners.types import Credential

POLL_S = 0.4
TRUST_S = 1.0
# Unknown tokens may ask for a look at most this often, so a flood of them costs the database nothing.
MISS_POLL_S = 0.05


class Directory:
    """The credentials of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._credentials: dict[str, Credential] = {}
        self._version: int | None = None
        self._checked_at = float("-inf")
        self._checking = asyncio.Lock()

    async def find(self, key_id: str) -> Credential | None:
        """The credential of that key id, no older than a second; None when there is none.

        Raises DirectoryStaleError when the database has not answered in time.
        """
        age = time.monotonic() - self._checked_at
        if age > TRUST_S:
            await self._check(TRUST_S)
        found = self._credentials.get(key_id)
        if found is None and age > MISS_POLL_S:
            await self._check(MISS_POLL_S)
            found = self._credentials.get(key_id)
        return found

    async def run(self) -> None:
        """Keep the directory fresh until cancelled."""
        while True:
            # `find` refuses by itself once the last good look is too old.
            with suppress(DirectoryStaleError):
                await self._check(0)
            await asyncio.sleep(POLL_S)

    async def _check(self, older_than_s: float) -> None:
        async with self._checking:
            if time.monotonic() - self._checked_at <= older_than_s:
                return
            started = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    await self._reload(connection)
            except DatabaseUnavailableError as error:
                raise DirectoryStaleError("credentials cannot be checked at the moment") from error
            self._checked_at = started

    async def _reload(self, connection: Connection) -> None:
        version = await queries.directory_version(connection)
        if version != self._version:
            self._credentials = _by_key_id(await queries.all_credentials(connection))
            self._version = version


def _by_key_id(credentials: Iterable[Credential]) -> dict[str, Credential]:
    return {credential.key_id: credential for credential in credentials}
