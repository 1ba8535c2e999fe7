"""GET /events: everything once, in one order, and only what is the caller's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.db.api.outsiders import OTHER, Outside, refused_tokens
from tests.db.api.table import PREFIX
from tests.db.api.test_gate import OFF_LIST
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.partners import execute, issued, suspend
from tests.support.rates import stopped_clocks

from proof.events import Event, publish, relay
from proof.events.reading import PAGE_BYTES
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import CredentialKind, Environment, OnboardedPartner
from proof.webhooks.pruning import prune_batch
from proof.webhooks.signing import webhook_id

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
TYPES = {CLIENT_TOKEN: "transaction", API_KEY: "timestamp.proof"}


def event(
    partner: OnboardedPartner,
    environment: Environment = PRODUCTION,
    kind: CredentialKind = API_KEY,
    subject: str = "s",
    body: bytes = b'{"n":1}',
) -> Event:
    owner = issued(partner, environment).partner_environment_id
    return Event(owner, TYPES[kind], subject, body)


async def happen(platform: Platform, *events: Event) -> None:
    async with platform.database.transaction() as tx:
        await publish(tx, events)
    async with platform.database.transaction() as tx:
        await relay(tx, 10_000)


async def read(platform: Platform, token: str, query: str = "", prefix: str = "") -> Any:
    answer = await platform.call("GET", f"{prefix}/events{query}", token=token)
    assert answer.status == 200, answer
    return answer.json


def ids(page: Any) -> list[str]:
    return [item["id"] for item in page["events"]]


async def listed(platform: Platform, **changes: Any) -> OnboardedPartner:
    """A partner whose client tokens work in both environments."""
    return await platform.onboard(sandbox_networks=("203.0.113.0/24",), **changes)


async def test_an_event_reads_as_its_webhook_says(platform: Platform) -> None:
    partner = await listed(platform)
    body, begun = b'{"a":"\xc3\xa9","z":[1,2]}', platform.clock.now()
    item, two = event(partner, subject="x", body=body), event(partner, subject="x")
    await happen(platform, item, two)
    answer = await platform.call("GET", "/events", token=issued(partner).api_key)
    assert answer.headers["content-type"] == "application/json"
    assert b'"body":' + body + b"}" in answer.body
    first, second = answer.json["events"]
    created = datetime.fromisoformat(first.pop("created_at"))
    assert begun - timedelta(seconds=1) <= created <= platform.clock.now()
    assert first == {
        "cursor": first["cursor"],
        "id": webhook_id(item.id),
        "type": "timestamp.proof",
        "version": 1,
        "subject": "x",
        "sequence": 1,
        "body": json.loads(body),
    }
    assert second["sequence"] == 2
    assert second["cursor"] > first["cursor"]
    assert answer.json["next"] == second["cursor"]


@pytest.mark.parametrize("environment", Environment)
async def test_each_kind_of_token_sees_its_own_products_events(
    platform: Platform, environment: Environment
) -> None:
    partner, stranger = await listed(platform), await listed(platform)
    events = {
        (who, where, kind): event(owner, where, kind)
        for who, owner in (("mine", partner), ("theirs", stranger))
        for where in Environment
        for kind in CredentialKind
    }
    await happen(platform, *events.values())
    for kind in CredentialKind:
        token: str = getattr(issued(partner, environment), kind)
        page = await read(platform, token, prefix=PREFIX[environment])
        assert ids(page) == [webhook_id(events["mine", environment, kind].id)]
        # Another's cursors lead nowhere else.
        around = await read(platform, token, "?after=1&limit=1000", PREFIX[environment])
        assert ids(around) == ids(page)


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("kind", CredentialKind)
async def test_who_is_let_in(
    platform: Platform, outsiders: Outside, kind: CredentialKind, environment: Environment
) -> None:
    partner = await listed(platform, timestamp_networks=("203.0.113.0/24",))
    target = f"{PREFIX[environment]}/events"
    token: str = getattr(issued(partner, environment), kind)
    refused = refused_tokens(partner, outsiders, environment)
    refused["the other environment's of this kind"] = getattr(
        issued(partner, OTHER[environment]), kind
    )
    for reason, wrong in {"missing": None, **refused}.items():
        answer = await platform.call("GET", target, token=wrong)
        assert (answer.status, answer.read) == (401, 0), reason
    away = await platform.call("GET", target, token=token, address=OFF_LIST)
    assert away.status == 403
    assert OFF_LIST in away.json["message"]
    assert (await platform.call("GET", target, token=token)).status == 200
    await suspend(platform.database, partner)
    await platform.poll()
    answer = await platform.call("GET", target, token=token)
    assert (answer.status, "suspended" in answer.json["message"]) == (403, True)


async def test_reading_is_limited_by_its_class(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_clocks(monkeypatch)

    partner = await listed(platform)
    async with platform.database.transaction() as tx:
        rate = Rate(1, 3600, 1)
        await set_rate(tx, partner.partner_id, PRODUCTION, CallClass.READ, rate, Actor("operator"))
    await platform.poll()
    once = await platform.call("GET", "/events", token=issued(partner).client_token)
    assert (once.status, once.headers["ratelimit"]) == (200, '"read";r=0;t=3600')
    twice = await platform.call("GET", "/events", token=issued(partner).api_key)
    assert twice.status == 429


async def test_pages(platform: Platform) -> None:
    partner = await listed(platform)
    token = issued(partner).api_key
    empty = await read(platform, token, "?after=41")
    assert empty == {"events": [], "next": 41}
    sent = [event(partner, subject=str(n)) for n in range(105)]
    await happen(platform, *sent)
    assert ids(await read(platform, token)) == [webhook_id(item.id) for item in sent[:100]]
    seen, after, sizes = [], 0, []
    while (page := await read(platform, token, f"?after={after}&limit=50"))["events"]:
        seen += ids(page)
        sizes.append(len(page["events"]))
        after = page["next"]
    assert seen == [webhook_id(item.id) for item in sent]
    assert sizes == [50, 50, 5]
    assert page["next"] == after, "the end is where to go on later"
    assert len((await read(platform, token, "?limit=1000"))["events"]) == 105


async def test_a_page_of_large_bodies_ends_early_and_misses_nothing(platform: Platform) -> None:
    partner = await listed(platform)
    large = b'"%s"' % (b"x" * (PAGE_BYTES // 2))
    sent = [event(partner, subject=str(n), body=large) for n in range(5)]
    await happen(platform, *sent)
    await execute(platform.database, "UPDATE outbox SET body = NULL WHERE id = $1", sent[3].id)
    token = issued(partner).api_key
    first = await read(platform, token)
    assert ids(first) == [webhook_id(item.id) for item in sent[:2]]
    rest = await read(platform, token, f"?after={first['next']}")
    assert ids(rest) == [webhook_id(item.id) for item in sent[2:]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("after", bad) for bad in ("", "x", "-1", "1.5", "1e3", " 1", "%00", "%D9%A3", "9" * 19)),
        *(("limit", bad) for bad in ("", "0", "1001", "-1", "x", "9" * 5000)),
    ],
)
async def test_bad_values_are_named(platform: Platform, name: str, value: str) -> None:
    token = issued(await platform.onboard()).api_key
    answer = await platform.call("GET", f"/events?{name}={value}", token=token)
    assert answer.status == 400
    assert answer.message.startswith(f"{name}: ")


async def test_a_body_no_longer_kept_says_so(platform: Platform) -> None:
    partner = await listed(platform)
    old = event(partner, subject="old")
    await happen(platform, old)
    async with platform.database.transaction() as tx:
        assert await prune_batch(tx, platform.clock.now() + timedelta(days=1), 10_000) > 0
    await happen(platform, event(partner, subject="new"))
    page = await read(platform, issued(partner).api_key)
    assert [(item["subject"], item["body"]) for item in page["events"]] == [
        ("old", None),
        ("new", {"n": 1}),
    ]


@asynccontextmanager
async def relaying(platform: Platform) -> AsyncIterator[None]:
    """Two relays at work, as in two workers, until the end."""
    finished = asyncio.Event()

    async def one() -> None:
        while not finished.is_set():
            async with platform.database.transaction() as tx:
                await relay(tx, 3)

    tasks = [asyncio.create_task(one()) for _ in range(2)]
    try:
        yield
    finally:
        finished.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def polling(platform: Platform, token: str, found: list[str]) -> AsyncIterator[None]:
    """A reader that goes on from the last cursor, over HTTP, until the end."""
    finished = asyncio.Event()

    async def reader() -> None:
        after = 0
        while not finished.is_set():
            page = await read(platform, token, f"?after={after}&limit=2")
            found.extend(ids(page))
            after = page["next"]

    task = asyncio.create_task(reader())
    try:
        yield
    finally:
        finished.set()
        await task


async def test_transactions_committed_in_reverse_order_under_a_reader(platform: Platform) -> None:
    partner = await listed(platform)
    found: list[str] = []
    early, late = await platform.database.dedicated(), await platform.database.dedicated()
    item, two = early.transaction(), late.transaction()
    await item.start()
    await two.start()
    first = [event(partner, subject=f"written first {n}") for n in range(3)]
    second = [event(partner, subject=f"committed first {n}") for n in range(3)]
    await publish(early, first)
    await publish(late, second)
    async with relaying(platform), polling(platform, issued(partner).api_key, found):
        await two.commit()
        await until(lambda: len(found) == 3)
        await item.commit()
        await until(lambda: len(found) == 6)
    await early.close()
    await late.close()
    assert found == [webhook_id(each.id) for each in (*second, *first)]


async def test_many_writers_under_a_reader(platform: Platform) -> None:
    partner, other = await listed(platform), await listed(platform)
    found, sent = list[str](), set[str]()

    async def writer(name: int) -> None:
        for n in range(20):
            mine = [event(partner, subject=f"{name} {n} {k}") for k in range(1 + n % 3)]
            async with platform.database.transaction() as tx:
                await publish(tx, [event(other), *mine])
                await asyncio.sleep(0.001 * ((name + n) % 3))
            sent.update(webhook_id(item.id) for item in mine)

    async with relaying(platform), polling(platform, issued(partner).api_key, found):
        await asyncio.gather(*map(writer, range(4)))
        await until(lambda: len(found) >= len(sent))
    assert len(found) == len(sent)
    assert set(found) == sent
