"""The log's one writer, in crash order.

1. `append`: head row locked; entries, tiles and head in one transaction. Stopped before its commit,
   nothing happened; after it, the log has grown and nobody was told.
2. `publish`: what is committed gets signed. The size is written to the high-water mark before the
   signature leaves this function. Stopped after that, the same size is signed again: same root,
   later time.
3. In one transaction: the checkpoint, the trees it verifies and their events. Stopped before its
   commit, no reader ever saw that checkpoint.
"""

import asyncio
from datetime import datetime
from pathlib import Path

from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.events import publish as publish_events
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.tree import (
    TileName,
    append,
    consistency_path,
    edge,
    inclusion_path,
    reader,
    root,
    tiles_read,
)
from proof.timestamps.anchors.log.witness import HighWaterMark, LogRolledBackError, SignedHead
from proof.timestamps.anchors.notices import tree_events
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree
from proof.verify.evidence.log.note import end_of_second_ms
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, leaf_hash

_APPEND_AT_ONCE = 1_000


class ClockBehindError(ProofError):
    """The clock shows a time before the newest checkpoint's."""


async def ensure_log(database: Database, vault: Vault, environment: str, origin: str) -> None:
    """Create an environment's log at the first start. The origin is fixed from then on."""
    async with database.transaction() as tx:
        await queries.create_first(tx, environment, origin, EMPTY_ROOT)
        await keys.ensure(tx, vault, await queries.head(tx, environment, lock=True))


class LogWriter:
    """Appends sealed rounds to one environment's current log and signs what it holds. `marks`: the folder
    of the high-water marks."""

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, environment: str, marks: Path
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._environment = environment
        self._marks = marks
        self._signer: tuple[int, keys.CheckpointSigner] | None = None

    @property
    def environment(self) -> str:
        """Whose log this writes."""
        return self._environment

    async def append(self) -> int:
        """Append sealed rounds to the log; answers how many."""
        async with self._database.transaction() as tx:
            head = await queries.head(tx, self._environment, lock=True)
            rounds = await queries.unlogged_rounds(tx, self._environment, _APPEND_AT_ONCE)
            if not rounds:
                return 0
            before = await queries.tiles(tx, head.log_id, edge(head.size))
            entries = [Roots(row["root"], row["plain_root"]).joined for row in rounds]
            changed = append(head.size, before, list(map(leaf_hash, entries)))
            size = head.size + len(rounds)
            new_root = root(size, reader({**before, **changed}))
            await queries.store_entries(tx, head.log_id, head.size, rounds)
            await queries.store_tiles(tx, head.log_id, changed)
            await queries.store_head(tx, head.log_id, size, new_root)
        return len(rounds)

    async def publish(self) -> bool:
        """Sign the head if nobody has, and tell whom it verifies; False when there is nothing new.

        Raises LogRolledBackError or ClockBehindError: then nothing was signed.
        """
        async with self._database.transaction() as tx:
            head = await queries.head(tx, self._environment, lock=True)
            newest = await queries.newest_checkpoint(tx, head.log_id)
            signed_size = newest["size"] if newest else 0
            if head.size == signed_size:
                return False
            mark = HighWaterMark(self._marks, head.label)
            await _require_continuation(tx, head, mark)
            at = self._time_to_sign(newest["signed_at"] if newest else None)
            note = (await self._keys(tx, head)).sign(head.size, head.root, int(at.timestamp()))
            await asyncio.to_thread(mark.write, SignedHead(head.size, head.root))
            await queries.store_checkpoint(tx, head.log_id, head.size, note, at)
            await self._announce(tx, head.log_id, signed_size, head.size, at)
        return True

    async def _announce(
        self, tx: Connection, log_id: int, first: int, end: int, at: datetime
    ) -> None:
        existed_by_ms = end_of_second_ms(int(at.timestamp()))
        rows = await queries.verify_trees(tx, log_id, Currency.LOG, first, end, existed_by_ms)
        verified = [
            (
                row["partner_environment_id"],
                Tree(
                    row["id"],
                    Currency(row["currency_id"]),
                    SubmitStatus(row["status"]),
                    row["timestamp_ms"],
                    row["root"],
                    row["transaction"],
                ),
            )
            for row in rows
        ]
        await publish_events(tx, await tree_events(tx, verified))

    async def _keys(self, connection: Connection, head: queries.Head) -> keys.CheckpointSigner:
        if self._signer is None or self._signer[0] != head.log_id:
            self._signer = head.log_id, await keys.signer(connection, self._vault, head.log_id)
        return self._signer[1]

    def _time_to_sign(self, newest: datetime | None) -> datetime:
        at = self._clock.now().replace(microsecond=0)
        if newest is not None and at < newest:
            raise ClockBehindError(f"the clock shows {at}, before the newest checkpoint's {newest}")
        return at


async def _require_continuation(
    connection: Connection, head: queries.Head, mark: HighWaterMark
) -> None:
    signed = await asyncio.to_thread(mark.read)
    if head.size < signed.size:
        raise LogRolledBackError(
            f"the {head.label} log holds {head.size} entries, but {signed.size} were"
            f" signed ({mark.path}); restore the newest backup, nothing is signed until then"
        )
    if signed.size and await root_at(connection, head.log_id, signed.size) != signed.root:
        raise LogRolledBackError(
            f"the first {signed.size} entries of the {head.label} log are not those that"
            f" were signed ({mark.path}); restore the newest backup, nothing is signed"
        )


async def root_at(connection: Connection, log_id: int, size: int) -> bytes:
    """The root of the first `size` entries, from the stored tiles."""
    names = tiles_read(lambda node: root(size, node))
    return root(size, reader(await queries.tiles(connection, log_id, names)))


async def inclusion(connection: Connection, log_id: int, position: int, size: int) -> list[bytes]:
    """The inclusion path of an entry in the log of `size` entries."""
    names = tiles_read(lambda node: inclusion_path(position, size, node))
    tiles = await queries.tiles(connection, log_id, names)
    return inclusion_path(position, size, reader(tiles))


async def consistency(connection: Connection, log_id: int, old: int, new: int) -> list[bytes]:
    """The path that shows the log of `new` entries to extend that of `old` entries."""
    names: set[TileName] = tiles_read(lambda node: consistency_path(old, new, node))
    tiles = await queries.tiles(connection, log_id, names)
    return consistency_path(old, new, reader(tiles))
