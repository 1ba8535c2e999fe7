"""Requests that wait while a commit runs share the next one, by group commit.

Large requests have lanes of their own, so that ten thousand hashes do not hold a single one back. A request
is answered only after the commit that holds all of it.
"""

import asyncio
from collections.abc import Iterable

import asyncpg

from proof.db import Connection, Database
from proof.db.group_commit import Lanes
from proof.timestamps.submissions import queries
from proof.timestamps.submissions.rounds import OpenRounds
from proof.timestamps.submissions.types import CommitResult, OpenRound, PendingSubmission
from proof.timestamps.types import NO_CHAINS, Chains

MAX_ROWS = 5_000
# A request above this many hashes takes the large requests' lanes.
LARGE_REQUEST = 500
_LANES = 2
# While one waits for the disk or hands out its answers, the other inserts.
_LARGE_LANES = 2


class Committer:
    """Commits the hashes of one process. `start` before use, `close` finishes what was accepted."""

    def __init__(self, database: Database, chains: Chains = NO_CHAINS) -> None:
        self._database = database
        self._rounds = OpenRounds(chains)
        self._small = self._lanes(_LANES)
        self._large = self._lanes(_LARGE_LANES)

    def _lanes(self, connections: int) -> Lanes[PendingSubmission]:
        return Lanes(
            "submissions.commit", self._database, connections, self._commit, MAX_ROWS, _hashes
        )

    def start(self) -> None:
        self._small.start()
        self._large.start()

    async def close(self) -> None:
        await self._small.close()
        await self._large.close()

    async def open_round(self, partner_environment_id: int, environment: str) -> OpenRound:
        """The round this process puts an owner's hashes into now, for `commit_within`."""
        async with self._database.connection() as connection:
            return await self._rounds.of(
                connection, _request(partner_environment_id, environment, [])
            )

    async def commit_within(
        self, tx: Connection, current: OpenRound, owner: tuple[int, str], digests: list[bytes]
    ) -> CommitResult | None:
        """`commit` in the caller's transaction: durable when that is; None when the round is closed."""
        pending = _request(*owner, digests)
        blob = _sorted_blob([pending])
        rows = await queries.commit(tx, [current.id], [blob])
        if not rows:
            self._rounds.forget(pending.partner_environment_id, current)
            return None
        _answer(current, [pending], blob, rows[0])
        return pending.done.result()

    async def commit(
        self, partner_environment_id: int, environment: str, digests: list[bytes]
    ) -> CommitResult:
        """Make distinct digests durable; returns after the commit.

        Raises DatabaseUnavailableError when the outcome is unknown or nothing was written, BusyError when
        others hold what it needs; sending the same digests again is always safe.
        """
        lanes = self._large if len(digests) > LARGE_REQUEST else self._small
        pending = _request(partner_environment_id, environment, digests)
        lanes.put(pending)
        return await pending.done

    async def _commit(self, connection: Connection, batch: list[PendingSubmission]) -> None:
        remaining = batch
        while remaining:
            by_round = await self._assign(connection, remaining)
            blobs = [_sorted_blob(requests) for requests in by_round.values()]
            rows = await queries.commit(connection, [r.id for r in by_round], blobs)
            # Stopping here loses only answers: the hashes are durable, and known when sent again.
            answered = {row["id"]: row for row in rows}
            remaining = []
            for (current, requests), blob in zip(by_round.items(), blobs, strict=True):
                if current.id in answered:
                    _answer(current, requests, blob, answered[current.id])
                else:
                    self._rounds.forget(requests[0].partner_environment_id, current)
                    remaining += requests

    async def _assign(
        self, connection: Connection, batch: Iterable[PendingSubmission]
    ) -> dict[OpenRound, list[PendingSubmission]]:
        by_owner: dict[int, list[PendingSubmission]] = {}
        for pending in batch:
            by_owner.setdefault(pending.partner_environment_id, []).append(pending)
        return {
            await self._rounds.of(connection, requests[0]): requests
            for requests in by_owner.values()
        }


def _request(
    partner_environment_id: int, environment: str, digests: list[bytes]
) -> PendingSubmission:
    done: asyncio.Future[CommitResult] = asyncio.get_running_loop().create_future()
    return PendingSubmission(partner_environment_id, environment, digests, done)


def _hashes(pending: PendingSubmission) -> int:
    return len(pending.digests)


def _sorted_blob(requests: list[PendingSubmission]) -> bytes:
    if len(requests) == 1:
        return b"".join(sorted(requests[0].digests))
    return b"".join(sorted({digest for pending in requests for digest in pending.digests}))


def _answer(
    current: OpenRound, requests: list[PendingSubmission], blob: bytes, row: "asyncpg.Record"
) -> None:
    all_new = row["new"] * 32 == len(blob)
    if all_new and row["new"] == sum(len(pending.digests) for pending in requests):
        # Nothing known, nothing twice: the usual batch, and no set of its hashes is needed.
        for pending in requests:
            _resolve(pending, CommitResult(current, row["created_at"], frozenset()))
        return
    seen = set() if all_new else _split(blob) - _split(row["digests"] or b"")
    # Two requests of one batch with the same hash: the first has it as new, later ones as existing.
    for pending in requests:
        known = frozenset(seen.intersection(pending.digests))
        seen.update(pending.digests)
        _resolve(pending, CommitResult(current, row["created_at"], known))


def _resolve(pending: PendingSubmission, committed: CommitResult) -> None:
    # Whoever asked may have hung up.
    if not pending.done.done():
        pending.done.set_result(committed)


def _split(blob: bytes) -> set[bytes]:
    return {blob[i : i + 32] for i in range(0, len(blob), 32)}
