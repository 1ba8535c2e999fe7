"""Looking through deliveries, and what an operator does to them, with its entry in the audit log."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.db.webhooks.scene import (
    FakeClient,
    TurnedClock,
    deliverer,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
    states,
)
from tests.support.databases import FaultyDatabase
from tests.support.partners import issued, onboard

from proof.core.errors import DatabaseUnavailableError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Database
from proof.outbound import OutboundReply
from proof.partners.audit import Actor
from proof.partners.types import Environment, OnboardedPartner
from proof.webhooks.administration import Place, Replay, replay_webhooks, send_test
from proof.webhooks.inspection import FoundDelivery, Search, delivery_view, search_deliveries
from proof.webhooks.signing import webhook_id
from proof.webhooks.types import DeliveryState

PRODUCTION = Environment.PRODUCTION
ACTOR = Actor("cli")


async def found(database: Database, *owners: int, **how: Any) -> list[FoundDelivery]:
    async with database.connection() as connection:
        return await search_deliveries(connection, Search(owners, **how))


async def partner_with(
    database: Database, vault: Vault, url: str
) -> tuple[OnboardedPartner, int, Place]:
    partner = await onboard(database, vault)
    owner = issued(partner).partner_environment_id
    await endpoint(database, url, to=owner)
    return partner, owner, Place(partner.partner_id, PRODUCTION)


async def attempted(database: Database, client: FakeClient, clock: TurnedClock) -> None:
    await relay_all(database)
    await deliverer(database, client, clock).run_once()


async def entries(database: Database) -> list[tuple[str, Any]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT action, after FROM audit_log WHERE action LIKE 'webhook.%' ORDER BY id"
        )
    return [(row["action"], json.loads(row["after"])) for row in rows]


async def test_deliveries_are_found_by_owner_state_endpoint_and_time(database: Database) -> None:
    clock = TurnedClock()
    client = FakeClient(answers={"two.example": OutboundReply(500, b"no \xff", False, 0.25)})
    for owner, host in ((1, "one"), (2, "two")):
        await endpoint(database, f"https://{host}.example/", to=owner)
        await happen(database, 3, to=owner)
    await attempted(database, client, clock)
    everything = await found(database, 1, 2)
    assert len(everything) == 6
    ids = [item.record.id for item in everything]
    assert ids == sorted(ids, reverse=True)
    assert {item.partner_environment_id for item in await found(database, 2)} == {2}
    assert await found(database) == []
    failing = await found(database, 1, 2, state=DeliveryState.PENDING)
    assert {item.partner_environment_id for item in failing} == {2}
    assert await found(database, 2, endpoint_id=await endpoint_id(database, 1)) == []
    paged = await found(database, 1, 2, limit=4)
    paged += await found(database, 1, 2, before_id=paged[-1].record.id)
    assert paged == everything
    moment = datetime.now(UTC)
    assert await found(database, 1, 2, since=moment + timedelta(hours=1)) == []
    assert await found(database, 1, 2, since=moment - timedelta(hours=1)) == everything


async def test_the_last_answer_is_kept_for_reading(database: Database) -> None:
    reply = OutboundReply(500, b"no \xff", False, 0.25)
    await endpoint(database, "https://one.example/")
    (event,) = await happen(database)
    await attempted(database, FakeClient(answers={"one.example": reply}), TurnedClock())
    (item,) = await found(database, 1)
    view = delivery_view("ptr_x", PRODUCTION, item)
    assert view.webhook_id == webhook_id(event.id)
    assert (view.state, view.attempts, view.last_outcome, view.last_status) == (
        DeliveryState.PENDING, 1, "500", 500,
    )  # fmt: skip
    assert (view.last_body, view.last_elapsed_ms) == ("no \ufffd", 250)
    assert view.next_attempt_at is not None
    assert view.replayable


async def test_one_delivery_is_sent_again_with_its_id(database: Database, vault: Vault) -> None:
    client, clock = FakeClient(), TurnedClock()
    _, owner, place = await partner_with(database, vault, "https://one.example/")
    await happen(database, 2, to=owner)
    await attempted(database, client, clock)
    item, _ = await found(database, owner)
    wanted = Replay(delivery=item.record.id)
    assert (await replay_webhooks(database, place, wanted, ACTOR, clock.now())).count == 1
    await attempted(database, client, clock)
    sent = [headers["webhook-id"] for _, _, headers in client.sent]
    assert len(sent) == 3
    assert sent[2] == webhook_id(item.record.event_id)
    ((action, after),) = await entries(database)
    assert (action, after["delivery"], after["environment"]) == (
        "webhook.replay", item.record.id, "production",
    )  # fmt: skip


async def test_a_range_and_what_failed_are_sent_again(database: Database, vault: Vault) -> None:
    client, clock = FakeClient(answers={"one.example": 410}), TurnedClock()
    _, owner, place = await partner_with(database, vault, "https://one.example/")
    await happen(database, 2, to=owner)
    await attempted(database, client, clock)
    async with database.transaction() as tx:
        await tx.execute("UPDATE webhook_deliveries SET state = 'failed' WHERE id % 2 = 0")
        await tx.execute("UPDATE webhook_deliveries SET state = 'delivered' WHERE id % 2 = 1")

    async def again(**wanted: Any) -> int:
        return (await replay_webhooks(database, place, Replay(**wanted), ACTOR, clock.now())).count

    ahead = clock.now() + timedelta(days=1)
    assert await again(failed=True, since=ahead) == 0
    assert await again(since=ahead) == 0
    assert await again(failed=True, endpoint_id=await endpoint_id(database, owner)) == 1
    assert await states(database) == {"pending": 1, "delivered": 1}
    assert await again(since=clock.now() - timedelta(days=1), until=ahead) == 1
    assert await states(database) == {"pending": 2}
    assert [after["failed"] for _, after in await entries(database)] == [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        Replay(),
        Replay(until=datetime(2026, 1, 1, tzinfo=UTC)),
        Replay(delivery=1, failed=True),
        Replay(delivery=1, endpoint_id=uuid4()),
        Replay(failed=True, until=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
async def test_a_selection_that_is_none_is_refused(
    database: Database, vault: Vault, wanted: Replay
) -> None:
    _, _, place = await partner_with(database, vault, "https://one.example/")
    with pytest.raises(InvalidInputError):
        await replay_webhooks(database, place, wanted, ACTOR, datetime.now(UTC))
    assert await entries(database) == []


async def test_what_is_anothers_is_not_found_and_leaves_no_entry(
    database: Database, vault: Vault
) -> None:
    clock = TurnedClock()
    _, owner, theirs = await partner_with(database, vault, "https://one.example/")
    _, _, mine = await partner_with(database, vault, "https://two.example/")
    sandbox = Place(theirs.partner_id, Environment.SANDBOX)
    await happen(database, to=owner)
    await attempted(database, FakeClient(), clock)
    (item,) = await found(database, owner)
    where = item.record.endpoint_id
    for place in (mine, sandbox, Place("ptr_nobody", PRODUCTION)):
        for wanted in (Replay(delivery=item.record.id), Replay(failed=True, endpoint_id=where)):
            with pytest.raises(NotFoundError):
                await replay_webhooks(database, place, wanted, ACTOR, clock.now())
        with pytest.raises(NotFoundError):
            async with database.transaction() as tx:
                await send_test(tx, place, where, ACTOR)
    assert await entries(database) == []
    assert await states(database) == {"delivered": 1}


async def test_a_range_that_breaks_off_has_its_entry(database: Database, vault: Vault) -> None:
    clock, calls = TurnedClock(), iter([None, False])
    _, owner, place = await partner_with(database, vault, "https://one.example/")
    await happen(database, to=owner)
    await attempted(database, FakeClient(), clock)
    wanted = Replay(since=clock.now() - timedelta(days=1))
    faulty = FaultyDatabase(database, lambda: next(calls))
    with pytest.raises(DatabaseUnavailableError):
        await replay_webhooks(faulty, place, wanted, ACTOR, clock.now())
    assert len(await entries(database)) == 1


async def test_a_test_event_goes_to_one_endpoint(database: Database, vault: Vault) -> None:
    client = FakeClient()
    _, owner, place = await partner_with(database, vault, "https://one.example/")
    where = await endpoint_id(database, owner)
    await endpoint(database, "https://two.example/", "timestamp.tree", to=owner)
    async with database.transaction() as tx:
        event_id = await send_test(tx, place, where, ACTOR)
    await attempted(database, client, TurnedClock())
    ((host, body, headers),) = client.sent
    assert (host, headers["webhook-id"]) == ("one.example", webhook_id(event_id))
    assert json.loads(body)["type"] == "webhook.test"
    assert await entries(database) == [
        ("webhook.test", {"environment": "production", "endpoint_id": str(where)})
    ]
