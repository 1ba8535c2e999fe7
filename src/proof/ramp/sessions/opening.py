"""Writing the sessions that are opened at the same time together, by group commit.

What is answered as opened is durable.
"""

import asyncio
from dataclasses import dataclass, field

from proof.core.clock import Clock
from proof.db import Connection, Database
from proof.db.group_commit import Lanes
from proof.ramp.sessions import queries
from proof.ramp.sessions.queries import NewSession, WriteResult

MAX_BATCH = 100
# While one waits for the disk, the other gathers.
_LANES = 2


@dataclass(frozen=True, slots=True)
class _PendingSession:
    new: NewSession = field(repr=False)
    done: "asyncio.Future[WriteResult]" = field(repr=False)


class Opener:
    """Writes the sessions of one process. `start` before use, `close` writes what was accepted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._lanes = Lanes("sessions.open", database, _LANES, self._commit, MAX_BATCH)

    def start(self) -> None:
        self._lanes.start()

    async def close(self) -> None:
        await self._lanes.close()

    async def write(self, new: NewSession) -> WriteResult:
        """Write the session; it is durable when this says that it was opened.

        Raises DatabaseUnavailableError when nothing was written or nobody knows, BusyError when others hold
        what it needs.
        """
        pending = _PendingSession(new, asyncio.get_running_loop().create_future())
        self._lanes.put(pending)
        return await pending.done

    async def _commit(self, connection: Connection, batch: list[_PendingSession]) -> None:
        firsts, repeats = _by_key(batch)
        written = await queries.insert_sessions(
            connection, self._clock.now(), [pending.new for pending in firsts]
        )
        for pending, result in zip(firsts, written, strict=True):
            _resolve(pending, result)
            for repeat in repeats.get(_lock(pending), ()):
                _resolve(repeat, WriteResult(result.free, opened=False))


def _by_key(
    batch: list[_PendingSession],
) -> tuple[list[_PendingSession], dict[int | None, list[_PendingSession]]]:
    """Those to be written, and by their key's lock those that repeat one of these. To the database one
    transaction is one holder of a lock, so it would write both."""
    firsts: list[_PendingSession] = []
    repeats: dict[int | None, list[_PendingSession]] = {}
    for pending in batch:
        lock = _lock(pending)
        if lock is None or lock not in repeats:
            firsts.append(pending)
            if lock is not None:
                repeats[lock] = []
        else:
            repeats[lock].append(pending)
    return firsts, repeats


def _lock(pending: _PendingSession) -> int | None:
    key = pending.new.key
    return None if key is None else key.lock


def _resolve(pending: _PendingSession, result: WriteResult) -> None:
    # Whoever asked may have hung up.
    if not pending.done.done():
        pending.done.set_result(result)
