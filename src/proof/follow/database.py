"""Our own log, read where it is written."""

from dataclasses import dataclass

from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.follow.faults import Fault, LogFaultError
from proof.follow.layout import entries_path, tile_path
from proof.follow.trust import Trust, trust_of
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName
from proof.timestamps.anchors.log.verifiers import served_policy


@dataclass(frozen=True, slots=True)
class DatabaseLog:
    """See LogSource; each method raises DatabaseUnavailableError too."""

    database: Database
    environment: str
    head: queries.Head

    @classmethod
    async def opened(cls, database: Database, environment: str, label: str | None) -> "DatabaseLog":
        """The current log, or the one of that label. Raises InvalidInputError when there is none."""
        async with database.connection() as connection:
            logs = await queries.logs(connection, environment)
        found = [log for log in logs if label in {log.label, None}]
        if not found:
            labels = ", ".join(log.label for log in logs)
            raise InvalidInputError(f"--log: there is no log {label!r}; there are {labels}")
        return cls(database, environment, found[-1])

    async def keys(self) -> bytes:
        """The verifier keys, one a line."""
        async with self.database.connection() as connection:
            lines = await verifier_keys(connection, self.head.log_id)
        return "".join(f"{line}\n" for line in lines).encode()

    async def policy(self) -> bytes:
        """What to verify by, as it is served."""
        async with self.database.connection() as connection:
            return (await served_policy(connection, self.environment)).text()

    async def trust(self) -> Trust:
        """In the log's own keys."""
        return trust_of(None, [await self.keys()])

    async def checkpoint(self) -> bytes:
        async with self.database.connection() as connection:
            newest = await queries.newest_checkpoint(connection, self.head.log_id)
        if newest is None:
            raise LogFaultError(
                Fault.EMPTY, f"the log {self.head.label} has signed no checkpoint yet"
            )
        note: str = newest["note"]
        return note.encode()

    async def tile(self, name: TileName, width: int) -> bytes:
        async with self.database.connection() as connection:
            tiles = await queries.tiles(connection, self.head.log_id, [name])
        hashes = tiles.get(name, b"")[: width * HASH_BYTES]
        if len(hashes) < width * HASH_BYTES:
            raise self._missing(tile_path(name, width))
        return hashes

    async def entries(self, position: int, width: int) -> list[bytes]:
        first = position * TILE_WIDTH
        async with self.database.connection() as connection:
            entries = await queries.entries(connection, self.head.log_id, first, width)
        if len(entries) < width:
            raise self._missing(entries_path(position, width))
        return entries

    def _missing(self, path: str) -> LogFaultError:
        return LogFaultError(
            Fault.BROKEN,
            f"{path} of the log {self.head.label} is not in the database; see what `proof fsck` says",
        )
