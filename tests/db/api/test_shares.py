"""What one caller does holds no connection that another waits for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from tests.support.application import Answer, Platform
from tests.support.partners import issued

from proof.core.errors import BusyError
from proof.db import Database
from proof.db.shares import Bounds, Work, working_for
from proof.partners.access import rates
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import Environment

WAITERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def test_changes_of_one_partner_wait_for_each_other_in_the_process(
    platform: Platform,
) -> None:
    partner = await platform.onboard()
    async with platform.database.transaction() as tx:
        await set_rate(
            tx,
            partner.partner_id,
            Environment.PRODUCTION,
            CallClass.SETTINGS,
            Rate(100_000, 1, 100_000),
            Actor("test"),
        )
    await platform.poll()
    token = issued(partner).api_key

    async def change(number: int) -> Answer:
        target = f"https://acme.example/{number}"
        body = {"notification": {"proof": {"target": target}}}
        return await platform.call("PATCH", "/v1/api-key/setting", body, token=token)

    answers, most = await watched(platform, [partial(change, n) for n in range(100)])
    assert most == 0, "they wait for a lock with a connection in the hand"
    assert set(Counter(answer.status for answer in answers)) <= {200, 503}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status == 503)


async def watched(
    platform: Platform, calls: list[Callable[[], Awaitable[Answer]]]
) -> tuple[list[Answer], int]:
    """Their answers, all at once, and how many sessions ever waited for a lock meanwhile."""
    most = 0
    over = asyncio.Event()

    async def watch() -> None:
        nonlocal most
        connection = await platform.database.dedicated()
        while not over.is_set():
            most = max(most, await connection.fetchval(WAITERS))
        await connection.close()

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(call() for call in calls))
    over.set()
    await watching
    return answers, most


async def test_the_pool_is_shared_out(database_arguments: dict[str, Any]) -> None:
    bounds = Bounds(places=4, each=2, wait_s=0.05)
    database = await Database.open(database_arguments, max_connections=5, shares=bounds)
    over = asyncio.Event()

    async def hold(holder: int, held: asyncio.Event) -> None:
        with working_for((Work.PARTNER, holder)):
            async with database.connection():
                held.set()
                await over.wait()

    async def query(holder: int | None) -> int:
        with working_for(None if holder is None else (Work.PARTNER, holder)):
            async with database.connection() as connection:
                value: int = await connection.fetchval("SELECT 1")
                return value

    holding = []
    for _ in range(2):
        held = asyncio.Event()
        holding.append(asyncio.create_task(hold(1, held)))
        await held.wait()
    with pytest.raises(BusyError):
        await query(1)
    assert [*await asyncio.gather(query(2), query(3), query(None))] == [1, 1, 1]
    over.set()
    await asyncio.gather(*holding)
    assert await query(1) == 1
    await database.close()


async def test_settings_that_alternate_do_not_grow_the_audit_log(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "CHANGES_RATE", Rate(1, 86_400, 3))

    partner = await platform.onboard()
    token = issued(partner).api_key

    async def change(target: str) -> Answer:
        body = {"notification": {"proof": {"target": f"https://{target}.example/"}}}
        return await platform.call("PATCH", "/v1/api-key/setting", body, token=token)

    answers = [await change(target) for target in ("a", "b", "a", "a", "b", "a")]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429, 200]
    assert int(answers[4].headers["retry-after"]) > 80_000
    kept = await platform.call("GET", "/v1/api-key/setting", token=token)
    assert kept.json["notification"]["proof"]["target"] == "https://a.example/"
    async with platform.database.connection() as connection:
        entries = await connection.fetchval(
            "SELECT count(*) FROM audit_log WHERE partner_id = $1 AND action = 'setting.change'",
            partner.partner_id,
        )
    assert entries == 3


@pytest.mark.parametrize(
    ("call_class", "call"),
    [
        (CallClass.READ, ("GET", f"/v1/tree/{uuid4()}")),
        (CallClass.PROOF, ("GET", f"/v1/proof/{'ab' * 32}")),
        (CallClass.SUBMIT, ("POST", "/v1/timestamp")),
        (CallClass.SETTINGS, ("POST", "/v1/api-key/usage")),
    ],
)
async def test_every_class_has_a_rate_where_none_is_set(
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    call_class: CallClass,
    call: tuple[str, str],
) -> None:
    few = Rate(1, 3600, 2)
    for defaults in (rates.PROCESS_RATES, rates.LEASED_RATES):
        if call_class in defaults:
            monkeypatch.setitem(defaults, call_class, few)

    token = issued(await platform.onboard()).api_key
    statuses = [(await platform.call(*call, {}, token=token)).status for _ in range(4)]
    assert 429 not in statuses[:2]
    assert statuses[2:] == [429, 429]
