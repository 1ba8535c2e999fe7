"""Every credential in memory, re-read when the database says something changed.

The gate stands before every request, so it asks no database. Each process to which requests come polls one
version number and loads everything anew when it moved; a token that is not found has it poll at once, so a
new partner can call immediately. When the version was not read for a second, nothing is trusted: the first
request after a quiet time reads it itself.
"""

import time
from collections.abc import Iterable

from proof.core.coalescing import Coalesced
from proof.core.errors import UnavailableError
from proof.core.loop import SAFETY_S, Again, Loop
from proof.db import Connection, Database
from proof.partners.access import credentials
from proof.partners.access.credentials import Credential, EndedCredential
from proof.partners.errors import DirectoryStaleError
from proof.partners.widgets import widget_ids

POLL_S = 0.4

# So long after the last request the poll goes on.
LINGER_S = 10.0

TRUST_S = 1.0

# An unknown token makes the directory ask the database at most this often, so a flood of them costs it
# nothing.
MISS_POLL_S = 0.05

# Whole tokens are in memory only until the next check of the directory, and few of them.
RECENT_AT_MOST = 256


class Directory:
    """The credentials of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._credentials: dict[str, Credential] = {}
        self._ended: dict[str, EndedCredential] = {}
        self._recent: dict[str, Credential] = {}
        self._widget_ids: frozenset[str] = frozenset()
        self._version: int | None = None
        self._checked_at = float("-inf")
        self._asked_at = float("-inf")
        self._polling = Loop("directory", self._poll, SAFETY_S)
        self._reading = Coalesced(self._read, MISS_POLL_S)

    def recent(self, token: str) -> Credential | None:
        """The credential of a token that proved genuine since the last poll, so for TRUST_S at most."""
        self._asked_at = time.monotonic()
        if self._asked_at - self._checked_at > TRUST_S:
            return None
        return self._recent.get(token)

    def remember(self, token: str, credential: Credential) -> None:
        """A token that proved genuine need not be hashed again before the next poll.

        Looking it up gives nothing away: a dictionary compares texts only when their keyed hashes agree.
        """
        if len(self._recent) < RECENT_AT_MOST:
            self._recent[token] = credential

    async def find(self, key_id: str) -> Credential | None:
        """The credential of that key id as known, no longer ago than a second; None when none is.

        Raises DirectoryStaleError when the database has not answered in time.
        """
        await self._require_fresh()
        return self._credentials.get(key_id)

    def ended(self, key_id: str) -> EndedCredential | None:
        """What was a credential of that key id, as of the last poll."""
        return self._ended.get(key_id)

    async def has_widget(self, widget_id: str) -> bool:
        """Whether the id is a widget's; of one that is a moment old perhaps not yet.

        Raises DirectoryStaleError when the database has not answered in time.
        """
        await self._require_fresh()
        return widget_id in self._widget_ids

    async def poll_after_miss(self) -> None:
        """Poll for a credential that was not found; all who miss one at the same time share a poll. An
        earlier poll does not do: a new credential may be used in the moment it is handed over.
        """
        await self._reading.get()

    async def problems(self) -> list[str]:
        """Why no credential is trusted, in words; empty while they are."""
        try:
            await self.find("")
        except DirectoryStaleError as error:
            return [error.message]
        return []

    async def run(self) -> None:
        """Keep the directory fresh while it is asked, until cancelled; `find` refuses by itself once it is
        not."""
        await self._polling.run()

    async def _poll(self) -> Again:
        if time.monotonic() - self._asked_at > LINGER_S:
            self._recent.clear()
            return False
        await self._reading.get()
        return POLL_S

    async def _require_fresh(self) -> None:
        self._asked_at = time.monotonic()
        if self._asked_at - self._checked_at > TRUST_S:
            self._polling.wake()
            await self._reading.get()

    async def _read(self) -> None:
        started = time.monotonic()
        try:
            async with self._database.connection() as connection:
                await self._reload(connection)
        except UnavailableError as error:
            raise DirectoryStaleError from error
        self._recent.clear()
        self._checked_at = started

    async def _reload(self, connection: Connection) -> None:
        version = await credentials.directory_version(connection)
        if version != self._version:
            self._credentials = _by_key_id(await credentials.all_credentials(connection))
            # The ended ones are read second, so that a credential that ends between the two reads is in
            # both and not in neither.
            ended = await credentials.ended_credentials(connection)
            self._ended = {credential.key_id: credential for credential in ended}
            self._widget_ids = await widget_ids(connection)
            self._version = version


def _by_key_id(found: Iterable[Credential]) -> dict[str, Credential]:
    return {credential.key_id: credential for credential in found}
