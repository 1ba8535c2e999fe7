"""Counting: nothing counted is lost or doubled, whatever the database does."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial

import pytest
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.databases import FaultyDatabase
from tests.support.partners import owner_of

from proof.core.errors import DatabaseUnavailableError, QuotaExceededError
from proof.partners.types import Limits, PartnerEnvironment
from proof.timestamps.submissions.usage import UNLIMITED, Meter, MonthUsage, UsageKind, add

# Whatever is written within a test was told of.
NEVER_S = 24 * 3600.0


@dataclass
class SetClock:
    moment: datetime = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


async def newcomer(platform: Platform, **limits: int) -> PartnerEnvironment:
    owner = await owner_of(platform.database, await platform.onboard())
    return replace(owner, limits=Limits(**limits))


async def test_months_are_counted_apart_and_reported_in_order(platform: Platform) -> None:
    clock, owner = SetClock(), await newcomer(platform)
    meter = Meter(platform.database, clock)
    await meter.count(owner, UsageKind.STATUS)
    clock.moment = datetime(2026, 11, 1, tzinfo=UTC)
    for _ in range(3):
        await meter.count(owner, UsageKind.STATUS)
    async with platform.database.transaction() as tx:
        await add(tx, Counter({(owner.id, date(2026, 12, 1), UsageKind.PROOFS): 5}))
    assert await meter.report(owner, 2026, None) == [
        MonthUsage(2026, 10, 0, 0, 1),
        MonthUsage(2026, 11, 0, 0, 3),
        MonthUsage(2026, 12, 0, 5, 0),
    ]
    assert await meter.report(owner, 2026, 9) == [MonthUsage(2026, 9, 0, 0, 0)]
    assert await meter.report(owner, 2025, None) == []


async def test_what_is_counted_is_written_without_being_asked_for(platform: Platform) -> None:
    meter, owner = Meter(platform.database, SetClock()), await newcomer(platform)
    meter._writing._idle_s = NEVER_S
    writing = asyncio.create_task(meter.run())

    async def written(counted: int) -> bool:
        (row,) = await platform.fetch(
            "SELECT coalesce(sum(used), 0) AS used FROM timestamp_usage"
            f" WHERE partner_environment_id = {owner.id}"
        )
        return bool(row["used"] == counted)

    for counted in (1, 2):
        await meter.count(owner, UsageKind.STATUS)
        await until(partial(written, counted))
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing


async def test_a_limit_holds_before_and_after_the_counts_are_written(platform: Platform) -> None:
    clock, owner = SetClock(), await newcomer(platform, status=3)
    meter = Meter(platform.database, clock)
    await meter.count(owner, UsageKind.STATUS)
    await meter.count(owner, UsageKind.STATUS)
    await meter.flush()
    await meter.count(owner, UsageKind.STATUS)
    for _ in range(2):
        with pytest.raises(QuotaExceededError, match="limit of 3 status is reached"):
            await meter.count(owner, UsageKind.STATUS)
        await meter.flush()
    assert await meter.left(owner, UsageKind.STATUS) == 0
    assert await meter.left(owner, UsageKind.PROOFS) == UNLIMITED
    clock.moment = datetime(2026, 11, 1, tzinfo=UTC)
    assert await meter.left(owner, UsageKind.STATUS) == 3
    await meter.count(owner, UsageKind.STATUS)


async def test_what_could_not_be_written_is_written_later(platform: Platform) -> None:
    owner, away = await newcomer(platform), True
    database = FaultyDatabase(platform.database, lambda: False if away else None)
    meter = Meter(database, SetClock())
    await meter.count(owner, UsageKind.STATUS)
    with pytest.raises(DatabaseUnavailableError):
        await meter.flush()
    await meter.count(owner, UsageKind.STATUS)
    away = False
    await meter.flush()
    await meter.flush()
    assert await meter.report(owner, 2026, 10) == [MonthUsage(2026, 10, 0, 0, 2)]


async def test_no_limit_asks_no_database(platform: Platform) -> None:
    owner = await newcomer(platform)
    meter = Meter(FaultyDatabase(platform.database, lambda: False), SetClock())
    await meter.count(owner, UsageKind.STATUS)
    await meter.require(owner, UsageKind.PROOFS)
