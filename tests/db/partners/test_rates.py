"""Rates over several processes: never more than the bound, and nearly all of it to whoever asks."""

import asyncio
import json
from typing import Any

import pytest
from tests.db.partners.processes import API_KEY, OPERATOR, PRODUCTION, SANDBOX, Process, identity
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform
from tests.support.databases import FaultyDatabase, HangingDatabase
from tests.support.partners import issued, onboard
from tests.support.rates import RateClocks, stopped_clocks

from proof.core.errors import DatabaseUnavailableError, InvalidInputError, NotFoundError
from proof.db import Database
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import (
    DEFAULT_RATES,
    CallClass,
    Limiter,
    RateExceededError,
    Standing,
    rates,
    set_rate,
)

SUBMIT, READ = CallClass.SUBMIT, CallClass.READ
# Refills one a day.
STILL = Rate(1, 86_400, 40)


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> RateClocks:
    return stopped_clocks(monkeypatch)


async def let_in(limiter: Limiter, owner: int, rate: Rate, calls: int) -> int:
    count = 0
    for _ in range(calls):
        try:
            await limiter.take(owner, SUBMIT, rate)
        except RateExceededError:
            continue
        count += 1
    return count


class CountedDatabase(Database):
    """Counts the transactions it begins."""

    def __init__(self, real: Database) -> None:
        super().__init__(real._pool, real._arguments)
        self.transactions = 0

    def transaction(self) -> Any:
        self.transactions += 1
        return super().transaction()


async def test_one_process_gets_the_whole_burst_and_no_more(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    limiter = Limiter(platform.database)
    assert await let_in(limiter, identity(partner), STILL, 100) == STILL.burst


@pytest.mark.parametrize("processes", [2, 5])
async def test_processes_at_once_share_one_burst(
    platform: Platform, clocks: RateClocks, processes: int
) -> None:
    partner = await onboard(platform.database, platform.vault)
    limiters = [Limiter(platform.database) for _ in range(processes)]
    counts = await asyncio.gather(
        *(let_in(limiter, identity(partner), STILL, 100) for limiter in limiters)
    )
    total = sum(counts)
    assert STILL.burst // 2 <= total <= STILL.burst

    # What some leased and did not spend goes to whoever asks for it, once it may ask again.
    for limiter in limiters:
        await limiter.give_back(older_than_s=0)
    clocks.turn(0.25)
    total += await let_in(limiters[0], identity(partner), STILL, STILL.burst)
    assert total == STILL.burst


async def test_concurrent_calls_of_one_process_share_its_lease(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    limiter = Limiter(platform.database)
    results = await asyncio.gather(
        *(let_in(limiter, identity(partner), STILL, 1) for _ in range(100))
    )
    assert sum(results) == STILL.burst


async def test_over_time_the_bound_holds_and_the_rate_is_used(
    platform: Platform, clocks: RateClocks
) -> None:
    """Three processes press at once, every five milliseconds for two seconds."""

    partner, rate = await onboard(platform.database, platform.vault), Rate(200, 1, 50)
    limiters, total, steps, step_s = (
        [Limiter(platform.database) for _ in range(3)],
        0,
        400,
        0.005,
    )
    for _ in range(steps):
        total += sum(
            await asyncio.gather(
                *(let_in(limiter, identity(partner), rate, 20) for limiter in limiters)
            )
        )
        clocks.turn(step_s)
    allowed = rate.per_second * steps * step_s
    assert 0.5 * allowed <= total <= rate.burst + allowed


async def test_most_calls_ask_no_database_and_refused_ones_hardly_any(
    platform: Platform, clocks: RateClocks
) -> None:
    partner, database = (
        await onboard(platform.database, platform.vault),
        CountedDatabase(platform.database),
    )
    limiter, generous = Limiter(database), Rate(10_000, 1, 10_000)
    assert await let_in(limiter, identity(partner), generous, 5_000) == 5_000
    assert database.transactions <= 20
    other, database.transactions = await onboard(platform.database, platform.vault), 0
    await let_in(limiter, identity(other), STILL, 5_000)
    assert database.transactions <= 20
    for _ in range(1_000):
        clocks.turn(0.001)
        assert await let_in(limiter, identity(other), STILL, 5) == 0
    assert database.transactions <= 20 + 1 / 0.02


async def test_what_is_left_is_told(platform: Platform) -> None:
    partner, limiter = (
        await onboard(platform.database, platform.vault),
        Limiter(platform.database),
    )
    told = [await limiter.take(identity(partner), SUBMIT, STILL) for _ in range(STILL.burst)]
    assert [each.remaining for each in told] == list(range(STILL.burst))[::-1]
    assert (told[0].reset_s, told[-1].reset_s) == (86_400, STILL.burst * 86_400)
    with pytest.raises(RateExceededError) as caught:
        await limiter.take(identity(partner), SUBMIT, STILL)
    assert caught.value.standing.remaining == 0
    assert caught.value.retry_after_s == 86_400


async def test_a_part_of_a_token_shortens_the_wait(
    platform: Platform, clocks: RateClocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a call each ten seconds, one that comes six seconds after the last waits for four."""
    slow = Rate(6, 60, 2)
    monkeypatch.setattr("proof.partners.access.rates.PROCESS_RATES", {SUBMIT: slow})

    async def counted(limiter: Limiter, owner: int) -> None:
        limiter.count(owner, SUBMIT)

    async def leased(limiter: Limiter, owner: int) -> None:
        await limiter.take(owner, SUBMIT, slow)

    async def scene() -> None:
        owner = identity(await onboard(platform.database, platform.vault))
        for act in (counted, leased):
            limiter = Limiter(platform.database)
            for _ in range(slow.burst):
                await act(limiter, owner)
            clocks.turn(6)
            with pytest.raises(RateExceededError) as caught:
                await act(limiter, owner)
            assert caught.value.retry_after_s == 4

    await scene()


async def test_a_full_burst_is_told_with_its_rate(platform: Platform, clocks: RateClocks) -> None:
    """A burst that refills faster than it is spent is full after every call."""
    quick = Rate(10_000_000, 1, 400)

    owner = identity(await onboard(platform.database, platform.vault))
    limiter = Limiter(platform.database)
    for _ in range(2):
        await limiter.take(owner, SUBMIT, quick)
    clocks.turn(0.1)
    assert await limiter.take(owner, SUBMIT, quick) == Standing(SUBMIT, quick, 400, 0)


async def test_a_process_that_gave_tokens_back_can_have_them_again_at_once(
    platform: Platform,
) -> None:
    partner, limiter = (
        await onboard(platform.database, platform.vault),
        Limiter(platform.database),
    )
    for _ in range(STILL.burst // 4):
        assert await let_in(limiter, identity(partner), STILL, 4) == 4
        await limiter.give_back(older_than_s=0)
    assert await let_in(limiter, identity(partner), STILL, 1) == 0


async def test_classes_and_environments_are_counted_apart(platform: Platform) -> None:
    partner, limiter = (
        await onboard(platform.database, platform.vault),
        Limiter(platform.database),
    )
    once = Rate(1, 86_400, 1)
    for owner in (identity(partner), identity(partner, SANDBOX)):
        for call_class in (SUBMIT, READ):
            await limiter.take(owner, call_class, once)
            with pytest.raises(RateExceededError):
                await limiter.take(owner, call_class, once)


async def test_a_raised_limit_is_used_at_once(platform: Platform, clocks: RateClocks) -> None:
    partner, limiter = (
        await onboard(platform.database, platform.vault),
        Limiter(platform.database),
    )
    once, often = Rate(1, 86_400, 1), Rate(1000, 1, 1000)
    await limiter.take(identity(partner), SUBMIT, once)
    with pytest.raises(RateExceededError):
        await limiter.take(identity(partner), SUBMIT, once)
    clocks.turn(0.01)
    await limiter.take(identity(partner), SUBMIT, often)


async def test_without_the_database_nobody_is_let_in_uncounted(platform: Platform) -> None:
    partner, away = await onboard(platform.database, platform.vault), True
    limiter = Limiter(FaultyDatabase(platform.database, lambda: False if away else None))
    with pytest.raises(DatabaseUnavailableError):
        await limiter.take(identity(partner), SUBMIT, STILL)
    away = False
    await limiter.take(identity(partner), SUBMIT, STILL)


async def test_all_who_wait_for_a_database_that_hangs_share_one_try(platform: Platform) -> None:
    database = HangingDatabase(platform.database)
    limiter = Limiter(database)
    owner = identity(await onboard(platform.database, platform.vault))
    calls = [asyncio.create_task(limiter.take(owner, SUBMIT, STILL))]
    await database.asked.wait()
    calls += [asyncio.create_task(limiter.take(owner, SUBMIT, STILL)) for _ in range(50)]
    await asyncio.sleep(0)
    database.answered.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {DatabaseUnavailableError}
    assert database.tries == 2


async def test_the_gate_limits_what_the_operator_set_and_counts_it(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process, token = Process(platform.database, clock), issued(partner).api_key
    _, standing = await process.enter(token, API_KEY, call_class=SUBMIT)
    assert standing is None
    async with platform.database.transaction() as tx:
        wanted = Rate(2, 86_400, 2)
        await set_rate(tx, partner.partner_id, PRODUCTION, SUBMIT, wanted, OPERATOR)
        found = await rates(tx, partner.partner_id, PRODUCTION)
        assert found == dict(DEFAULT_RATES) | {SUBMIT: wanted}
    for left in (1, 0):
        _, standing = await process.enter(token, API_KEY, call_class=SUBMIT)
        assert standing is not None
        assert standing.remaining == left
    with pytest.raises(RateExceededError):
        await process.enter(token, API_KEY, call_class=SUBMIT)
    await process.enter(token, API_KEY, call_class=READ)
    await process.write()
    (row,) = await platform.fetch(
        "SELECT reason, count FROM refusals WHERE partner_environment_id = $1",
        identity(partner),
    )
    assert tuple(row) == ("rate_limited", 1)
    async with platform.database.transaction() as tx:
        await set_rate(tx, partner.partner_id, PRODUCTION, SUBMIT, None, OPERATOR)
    _, standing = await process.enter(token, API_KEY, call_class=SUBMIT)
    assert standing is None


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        (Rate(0, 60, 1), "calls"),
        (Rate(1, 0, 1), "window"),
        (Rate(1, 86_401, 1), "window"),
        (Rate(1, 60, 0), "burst"),
        (Rate(10_000_001, 60, 1), "calls"),
    ],
)
async def test_a_rate_out_of_range_is_refused(platform: Platform, rate: Rate, field: str) -> None:
    async with platform.database.transaction() as tx:
        with pytest.raises(InvalidInputError, match=f"^{field}: "):
            await set_rate(tx, "ptr_nobody", PRODUCTION, SUBMIT, rate, OPERATOR)
        with pytest.raises(NotFoundError):
            await set_rate(tx, "ptr_nobody", PRODUCTION, SUBMIT, STILL, OPERATOR)


async def test_the_audit_log_has_the_limit_before_and_after(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    async with platform.database.transaction() as tx:
        for rate in (Rate(7, 60, 9), None):
            await set_rate(tx, partner.partner_id, PRODUCTION, SUBMIT, rate, OPERATOR)
    rows = await platform.fetch(
        "SELECT before, after FROM audit_log WHERE action = 'rate.set' AND partner_id = $1 ORDER BY id",
        partner.partner_id,
    )
    where = {"environment": "production", "class": "submit"}
    usual = DEFAULT_RATES[SUBMIT]
    default = {"calls": usual.calls, "window_s": usual.window_s, "burst": usual.burst}
    changed = {"calls": 7, "window_s": 60, "burst": 9}
    assert [(json.loads(row["before"]), json.loads(row["after"])) for row in rows] == [
        (where | default, where | changed),
        (where | changed, where | default),
    ]
