"""Sessions that are written together: each is there whole or not at all, and none suffers from another."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from asyncpg import PostgresError
from tests.support.application import Platform
from tests.support.sessions import Shop, ramp_partner

from proof.core.clock import Clock
from proof.core.errors import DatabaseUnavailableError
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.personal import Kind, SealedValue
from proof.ramp.records import Opening
from proof.ramp.sessions.opening import MAX_BATCH, Opener
from proof.ramp.sessions.queries import Key, NewSession, WriteResult

OPENED = WriteResult(free=True, opened=True)
KNOWN = WriteResult(free=True, opened=False)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Site:
    """A partner environment to open sessions in."""

    platform: Platform
    owner_id: int
    environment: Environment = Environment.SANDBOX

    async def written(self, *sessions: NewSession) -> list[Any]:
        """What came of sessions that were opened at the same time."""
        async with opened(self.platform.database, self.platform.clock) as opener:
            return await written(opener, *sessions)

    def new(self, user: str, key: str | None = None, kind: str = Kind.EMAIL) -> NewSession:
        sealed = personal.seal(self.platform.vault, Kind.EMAIL, "user@shop.example")
        return NewSession(
            partner_environment_id=self.owner_id,
            key=None if key is None else _key(key),
            id=hashlib.sha256(uuid4().bytes).digest(),
            transaction_id=uuid4(),
            signing_key_id=uuid4(),
            amount=Decimal("25.50"),
            parameters="{}",
            personal=[SealedValue(sealed.id, cast("Kind", kind), sealed.sealed)],
            init_lifetime=HOUR,
            partner_id="ptr_shop",
            environment=self.environment,
            secret=bytes(32),
            opening=Opening("buy", "USDT", "TRC20", "25.50", "EUR", user, "", "", ""),
        )

    async def whole(self, transaction_id: UUID) -> tuple[int, ...]:
        """How many rows of the transaction are in each table."""
        (row,) = await self.platform.fetch(
            "SELECT (SELECT count(*) FROM ramp_transactions WHERE id = $1),"
            " (SELECT count(*) FROM ramp_sessions WHERE transaction_id = $1),"
            " (SELECT count(*) FROM ramp_personal WHERE transaction_id = $1),"
            " (SELECT count(*) FROM ramp_records WHERE transaction_id = $1),"
            " (SELECT count(*) FROM ramp_unstamped WHERE transaction_id = $1)",
            transaction_id,
        )
        return tuple(row)


def _key(text: str) -> Key:
    sha256 = hashlib.sha256(text.encode()).digest()
    return Key(sha256, int.from_bytes(sha256[:8], "big", signed=True), bytes(32))


async def site(platform: Platform) -> Site:
    shop: Shop = await ramp_partner(platform)
    (row,) = await platform.fetch(
        "SELECT id FROM partner_environments WHERE widget_id = $1",
        shop.widget_id(Environment.SANDBOX),
    )
    return Site(platform, row["id"])


@asynccontextmanager
async def opened(database: Database, clock: Clock) -> AsyncIterator[Opener]:
    opener = Opener(database, clock)
    opener.start()
    try:
        yield opener
    finally:
        await opener.close()


async def written(opener: Opener, *sessions: NewSession) -> list[Any]:
    return await asyncio.gather(
        *(opener.write(session) for session in sessions), return_exceptions=True
    )


async def test_more_than_a_batch_of_few_users(platform: Platform) -> None:
    at = await site(platform)
    sessions = [at.new(f"user-{number % 7}") for number in range(3 * MAX_BATCH)]
    assert set(await at.written(*sessions)) == {OPENED}
    for session in sessions[:: MAX_BATCH // 2]:
        assert await at.whole(session.transaction_id) == (1, 1, 1, 1, 1)
    (row,) = await platform.fetch(
        "SELECT count(*) AS users, (SELECT count(*) FROM ramp_transactions) AS transactions"
        " FROM ramp_users WHERE partner_user_id LIKE 'user-%'"
    )
    assert tuple(row) == (7, len(sessions))


async def test_one_that_cannot_be_written_fails_alone(platform: Platform) -> None:
    at = await site(platform)
    good, bad, repeat = at.new("a"), at.new("b", "k", kind="nonsense"), at.new("c", "k")
    done = await at.written(good, bad, repeat)
    assert (done[0], done[2]) == (OPENED, OPENED)
    assert isinstance(done[1], PostgresError)
    assert await at.whole(good.transaction_id) == (1, 1, 1, 1, 1)
    assert await at.whole(bad.transaction_id) == (0, 0, 0, 0, 0)
    assert await at.whole(repeat.transaction_id) == (1, 1, 1, 1, 1)


async def test_one_key_in_one_batch_opens_one_session(platform: Platform) -> None:
    at = await site(platform)
    sessions = [at.new("a", "k"), at.new("a", "k"), at.new("a", "other"), at.new("a")]
    assert await at.written(*sessions) == [OPENED, KNOWN, OPENED, OPENED]
    assert await at.whole(sessions[1].transaction_id) == (0, 0, 0, 0, 0)


async def test_a_key_under_way_elsewhere_opens_nothing_and_holds_nobody_back(
    platform: Platform,
) -> None:
    at = await site(platform)
    async with platform.database.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock($1)", _key("k").lock)
        done = await at.written(at.new("a", "k"), at.new("b"))
        assert done == [WriteResult(free=False, opened=False), OPENED]


async def test_a_lost_database_is_told_to_everybody_who_waits(platform: Platform) -> None:
    class Lost(Database):
        async def dedicated(self) -> Any:
            raise DatabaseUnavailableError("PostgreSQL did not answer")

    at = await site(platform)
    async with opened(Lost(cast("Any", None), {}), platform.clock) as opener:
        done = await written(opener, at.new("a"), at.new("b"))
    assert [type(error) for error in done] == [DatabaseUnavailableError] * 2


async def test_whoever_hangs_up_holds_nobody_back(platform: Platform) -> None:
    at = await site(platform)
    gone, stays = at.new("a"), at.new("b")
    async with opened(platform.database, platform.clock) as opener:
        hanging_up = asyncio.create_task(opener.write(gone))
        staying = asyncio.create_task(opener.write(stays))
        await asyncio.sleep(0)
        hanging_up.cancel()
        assert await staying == OPENED
    with pytest.raises(asyncio.CancelledError):
        await hanging_up


async def test_an_unopened_widget_is_looked_at_when_its_token_is_over(platform: Platform) -> None:
    at = await site(platform)
    new = at.new("a")
    before = platform.clock.now()
    assert await at.written(new) == [OPENED]
    (row,) = await platform.fetch(
        "SELECT next_poll_at FROM ramp_transactions WHERE id = $1", new.transaction_id
    )
    assert before + HOUR <= row["next_poll_at"] <= platform.clock.now() + HOUR
