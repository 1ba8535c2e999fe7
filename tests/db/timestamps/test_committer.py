"""Group commit on a real database: every hash in exactly one round, first come new, later known."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import asyncpg
import pytest
from tests.support.application import Platform
from tests.support.partners import owner_of

from proof.core.errors import DatabaseUnavailableError
from proof.db import Connection, Database
from proof.partners.types import PartnerEnvironment
from proof.timestamps.submissions import queries
from proof.timestamps.submissions.committer import LARGE_REQUEST, MAX_ROWS, Committer
from proof.timestamps.submissions.types import CommitResult
from proof.timestamps.trees.sealing import close_due, seal_next


def digests(count: int, label: str = "") -> list[bytes]:
    return [sha256(f"{label} {n}".encode()).digest() for n in range(count)]


@asynccontextmanager
async def committing(database: Database, count: int = 1) -> AsyncIterator[list[Committer]]:
    """Committers over one database, as several processes have."""
    found = [Committer(database) for _ in range(count)]
    for committer in found:
        committer.start()
    try:
        yield found
    finally:
        await asyncio.gather(*(committer.close() for committer in found))


async def newcomer(platform: Platform) -> PartnerEnvironment:
    return await owner_of(platform.database, await platform.onboard())


async def commit(
    committer: Committer, owner: PartnerEnvironment, hashes: list[bytes]
) -> CommitResult:
    return await committer.commit(owner.id, owner.environment, hashes)


async def stored(platform: Platform, owner: PartnerEnvironment) -> dict[bytes, int]:
    rows = await platform.fetch(
        "SELECT digest, round_id FROM submissions WHERE partner_environment_id = $1", owner.id
    )
    found = {row["digest"]: row["round_id"] for row in rows}
    assert len(found) == len(rows)
    return found


async def used(platform: Platform, owner: PartnerEnvironment) -> int:
    (row,) = await platform.fetch(
        "SELECT coalesce(sum(used), 0)::int AS used FROM timestamp_usage"
        " WHERE partner_environment_id = $1 AND kind = 'timestamps'",
        owner.id,
    )
    return int(row["used"])


async def require_sealed_once(
    platform: Platform, owner: PartnerEnvironment, expected: set[bytes]
) -> None:
    """Every hash is a leaf of exactly one sealed round of its owner."""
    await platform.seal()
    rows = await platform.fetch(
        "SELECT t.hashes, r.blinding FROM rounds r JOIN round_tiles t ON t.round_id = r.id"
        " WHERE r.partner_environment_id = $1 AND level = 0 AND sealed_at IS NOT NULL",
        owner.id,
    )
    blinding = {row["blinding"] for row in rows}
    leaves = [
        row["hashes"][at : at + 32] for row in rows for at in range(0, len(row["hashes"]), 32)
    ]
    assert Counter(leaf for leaf in leaves if leaf not in blinding) == Counter(expected)


async def test_overlapping_sets_through_two_committers(platform: Platform) -> None:
    item, two = await newcomer(platform), await newcomer(platform)
    chosen, pool = random.Random(7), digests(400)
    requests = [
        (owner, which, chosen.sample(pool, chosen.choice([1, 1, 5, 60, 200])))
        for owner in (item, two)
        for which in (0, 1)
        for _ in range(60)
    ]
    chosen.shuffle(requests)
    async with committing(platform.database, 2) as committers:
        results = await asyncio.gather(
            *(commit(committers[which], owner, sent) for owner, which, sent in requests)
        )
    for owner in (item, two):
        new: Counter[bytes] = Counter()
        rounds: dict[bytes, int] = {}
        for (whose, _, sent), done in zip(requests, results, strict=True):
            if whose is owner:
                fresh = [digest for digest in sent if digest not in done.known]
                assert done.known <= set(sent)
                new.update(fresh)
                rounds |= dict.fromkeys(fresh, done.round.id)
        wanted = {digest for whose, _, sent in requests if whose is owner for digest in sent}
        assert new == Counter(wanted), "each hash is new to exactly one request"
        assert await stored(platform, owner) == rounds
        assert await used(platform, owner) == len(wanted)
        await require_sealed_once(platform, owner, wanted)


async def test_the_same_sets_in_opposite_orders_do_not_deadlock(platform: Platform) -> None:
    owners = [await newcomer(platform) for _ in range(3)]
    async with committing(platform.database, 2) as (forward, backward):
        for n in range(15):
            hashes = digests(400, f"opposite {n}")
            done = await asyncio.gather(
                *(commit(forward, owner, hashes) for owner in owners),
                *(commit(backward, owner, hashes[::-1]) for owner in reversed(owners)),
            )
            fresh = sum(len(hashes) - len(item.known) for item in done)
            assert fresh == len(owners) * len(hashes)


async def test_in_one_batch_the_first_request_has_a_hash_as_new(platform: Platform) -> None:
    owner, (a, b, c) = await newcomer(platform), digests(3)
    sent = [[a], [b, a], [a], [c, b]]
    async with committing(platform.database) as (committer,):
        done = await asyncio.gather(*(commit(committer, owner, hashes) for hashes in sent))
        again = await commit(committer, owner, [c, a])
    assert [item.known for item in done] == [set(), {a}, {a}, {b}]
    assert again.known == {a, c}
    assert len({item.round.id for item in done}) == 1


async def test_two_partners_with_one_hash_learn_nothing_of_each_other(platform: Platform) -> None:
    item, two = await newcomer(platform), await newcomer(platform)
    async with committing(platform.database) as (committer,):
        done = await asyncio.gather(
            *(commit(committer, owner, digests(5)) for owner in (item, two))
        )
    assert [found.known for found in done] == [frozenset(), frozenset()]
    assert done[0].round.id != done[1].round.id
    assert done[0].round.trees != done[1].round.trees


async def test_a_round_closed_underneath_is_left_and_nothing_is_lost(platform: Platform) -> None:
    owner = await newcomer(platform)
    async with committing(platform.database, 2) as committers:
        seen = []
        for n in range(6):
            hashes = digests(10, f"turn {n}")
            done = await commit(committers[n % 2], owner, hashes)
            assert done.known == frozenset()
            seen.append(done.round.id)
            await close_due(platform.database, 0)
            if n % 3 == 0:
                await seal_next(platform.database)
    assert len(set(seen)) == 6, "nothing is added to a closed round"
    wanted = {digest for n in range(6) for digest in digests(10, f"turn {n}")}
    assert set(await stored(platform, owner)) == wanted
    await require_sealed_once(platform, owner, wanted)


async def test_closing_and_sealing_all_the_while(platform: Platform) -> None:
    owner = await newcomer(platform)
    finished = asyncio.Event()

    async def worker() -> None:
        while not finished.is_set():
            await close_due(platform.database, 0)
            await seal_next(platform.database)

    async def sender(committer: Committer, label: str) -> None:
        for n in range(25):
            done = await commit(committer, owner, digests(20, f"{label} {n}"))
            assert done.known == frozenset()

    workers = [asyncio.create_task(worker()) for _ in range(2)]
    async with committing(platform.database, 2) as committers:
        await asyncio.gather(
            *(sender(item, f"{at} {k}") for at, item in enumerate(committers) for k in range(3))
        )
    finished.set()
    await asyncio.gather(*workers)
    wanted = {
        digest
        for at in range(2)
        for k in range(3)
        for n in range(25)
        for digest in digests(20, f"{at} {k} {n}")
    }
    await require_sealed_once(platform, owner, wanted)


async def test_large_requests_go_their_own_lane_and_hold_nobody_up(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, released = queries.commit, asyncio.Event()

    async def held(connection: Connection, ids: Any, blobs: Any) -> list[Any]:
        if max(map(len, blobs)) > 32 * LARGE_REQUEST:
            await released.wait()
        return await real(connection, ids, blobs)

    owner = await newcomer(platform)
    large = [digests(MAX_ROWS, f"large {n}") for n in range(2)]
    small = [digests(1, f"small {n}") for n in range(20)]
    monkeypatch.setattr(queries, "commit", held)
    async with committing(platform.database) as (committer,), asyncio.timeout(120):
        waiting = [asyncio.create_task(commit(committer, owner, hashes)) for hashes in large]
        done = await asyncio.gather(*(commit(committer, owner, item) for item in small))
        assert not any(task.done() for task in waiting)
        released.set()
        done += await asyncio.gather(*waiting)
    assert {item.known for item in done} == {frozenset()}
    await require_sealed_once(
        platform, owner, {digest for hashes in large + small for digest in hashes}
    )


async def test_closing_finishes_what_was_accepted(platform: Platform) -> None:
    owner, committer = await newcomer(platform), Committer(platform.database)
    committer.start()
    sent = [
        asyncio.create_task(commit(committer, owner, digests(3, f"late {n}"))) for n in range(50)
    ]
    await asyncio.sleep(0)
    await committer.close()
    assert all(not done.known for done in await asyncio.gather(*sent))
    assert len(await stored(platform, owner)) == 150


@pytest.mark.parametrize("applied", [False, True], ids=["failed", "failed but applied"])
async def test_after_an_unknown_outcome_sending_again_is_safe(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    real = queries.commit

    async def failing(connection: Connection, *arguments: Any) -> list[Any]:
        if applied:
            await real(connection, *arguments)
        raise asyncpg.ConnectionDoesNotExistError("the server went away")

    owner, hashes = await newcomer(platform), digests(5, f"unknown {applied}")
    async with committing(platform.database) as (committer,):
        with monkeypatch.context() as patch:
            patch.setattr(queries, "commit", failing)
            with pytest.raises(DatabaseUnavailableError, match="send it again"):
                await commit(committer, owner, hashes)
        done = await commit(committer, owner, hashes)
    assert done.known == (set(hashes) if applied else set())
    await require_sealed_once(platform, owner, set(hashes))


async def test_a_lost_connection_is_replaced(platform: Platform) -> None:
    owner = await newcomer(platform)
    async with committing(platform.database) as (committer,):
        await commit(committer, owner, digests(1, "before"))
        connections = await platform.fetch(
            "SELECT pg_terminate_backend(pid, 120000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE '%WITH fence%'"
        )
        assert connections
        outcomes = await asyncio.gather(
            *(commit(committer, owner, digests(1, f"after {n}")) for n in range(3)),
            return_exceptions=True,
        )
        assert all(
            isinstance(outcome, CommitResult | DatabaseUnavailableError) for outcome in outcomes
        )
        for n in range(3):
            await commit(committer, owner, digests(1, f"after {n}"))
    assert len(await stored(platform, owner)) == 4
