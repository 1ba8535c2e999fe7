"""Endpoints, and what events become."""

import asyncio

import pytest
from tests.db.webhooks.scene import (
    POLICY,
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    happen,
    relay_all,
    until,
)

from proof.db import Database
from proof.events import relay
from proof.outbound import InvalidTargetError, OutboundPolicy
from proof.webhooks import endpoints, fan_out, set_endpoint
from proof.webhooks.endpoint_queries import abandon

URL = "https://one.example/hook"


async def known(database: Database, to: int = 1) -> dict[str, str]:
    async with database.connection() as connection:
        return await endpoints(connection, to)


async def a_lock_is_waited_for(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_set_change_and_remove(database: Database) -> None:
    assert await known(database) == {}
    await endpoint(database, URL)
    await endpoint(database, "https://tree.example/", "timestamp.tree")
    await endpoint(database, "https://other.example/", to=2)
    await endpoint(database, URL + "2")
    assert await known(database) == {
        "timestamp.proof": URL + "2",
        "timestamp.tree": "https://tree.example/",
    }
    await endpoint(database, "")
    await endpoint(database, "")
    assert await known(database) == {"timestamp.tree": "https://tree.example/"}
    await endpoint(database, URL)
    assert (await known(database))["timestamp.proof"] == URL
    assert await known(database, 2) == {"timestamp.proof": "https://other.example/"}


async def test_a_target_the_policy_refuses_changes_nothing(database: Database) -> None:
    await endpoint(database, URL)
    for policy, url in (
        (POLICY, "http://example.com/"),
        (OutboundPolicy(), "http://127.0.0.1/"),
    ):
        async with database.transaction() as tx:
            with pytest.raises(InvalidTargetError):
                await set_endpoint(tx, policy, 1, "timestamp.proof", url)
    assert await known(database) == {"timestamp.proof": URL}


async def test_an_event_goes_to_its_environments_endpoint_of_its_type(database: Database) -> None:
    await endpoint(database, URL)
    await endpoint(database, "https://two.example/", to=2)
    proofs = await happen(database, 2)
    await happen(database, 3, "timestamp.tree")
    await happen(database, 4, to=3)
    others = await happen(database, 1, to=2)
    assert await relay_all(database) == 3
    assert await relay_all(database) == 0
    rows = await deliveries(database)
    assert [row["event_id"] for row in rows] == [event.id for event in proofs + others]
    assert {row["state"] for row in rows} == {"pending"}


async def test_nothing_relayed_is_nothing_delivered(database: Database) -> None:
    async with database.transaction() as tx:
        assert await fan_out(tx, []) == 0


async def test_removing_gives_up_what_is_pending_and_keeps_its_record(database: Database) -> None:
    await endpoint(database, URL)
    await happen(database, 2)
    await relay_all(database)
    await endpoint(database, "")
    await endpoint(database, URL)
    # However many there are, the endpoint's row and with it every relay is not held for them.
    assert [row["state"] for row in await deliveries(database)] == ["pending"] * 2
    client = FakeClient()
    item = deliverer(database, client, TurnedClock())
    assert await item.run_once() == 0
    async with database.connection() as connection:
        assert await abandon(connection, 1) == 1
    assert not await item.abandon()
    assert client.sent == []
    rows = await deliveries(database)
    assert [(row["state"], row["last_outcome"]) for row in rows] == [
        ("failed", "endpoint removed")
    ] * 2


async def test_removing_waits_for_a_fan_out_under_way(database: Database) -> None:
    """Otherwise a delivery could stay pending for an endpoint that is gone."""

    await endpoint(database, URL)
    await happen(database)
    async with database.transaction() as tx:
        assert await fan_out(tx, await relay(tx, 10)) == 1
        removal = asyncio.create_task(endpoint(database, ""))
        await until(lambda: a_lock_is_waited_for(database))
    await removal
    await deliverer(database, FakeClient(), TurnedClock()).abandon()
    assert [row["state"] for row in await deliveries(database)] == ["failed"]


async def test_a_fan_out_passes_over_an_endpoint_being_removed(database: Database) -> None:
    await endpoint(database, URL)
    await happen(database)
    async with database.transaction() as tx:
        await set_endpoint(tx, POLICY, 1, "timestamp.proof", "")
        relaying = asyncio.create_task(relay_all(database))
        await until(lambda: a_lock_is_waited_for(database))
    assert await relaying == 0
    assert await deliveries(database) == []
