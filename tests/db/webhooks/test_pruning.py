"""What is forgotten, and what never is."""

import asyncio
from datetime import timedelta

from tests.db.webhooks.scene import (
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    happen,
    records,
    relay_all,
    states,
    until,
)

from proof.db import Database
from proof.outbound import OutboundReply
from proof.webhooks.pruning import forget_replies, prune_batch, pruning_loop
from proof.webhooks.replay import replay_delivery


async def bodies(database: Database) -> list[bytes | None]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT body FROM outbox ORDER BY position")
    return [row["body"] for row in rows]


async def pruned(database: Database, clock: TurnedClock, limit: int = 500) -> int:
    async with database.transaction() as tx:
        return await prune_batch(tx, clock.now(), limit)


async def sent(database: Database, clock: TurnedClock, count: int, answer: int = 200) -> None:
    client = FakeClient(answers={"one.example": OutboundReply(answer, b"said", False, 0)})
    await endpoint(database, "https://one.example/")
    await happen(database, count)
    await relay_all(database)
    await deliverer(database, client, clock).run_once()


async def test_payloads_and_replies_go_in_batches_and_records_stay(database: Database) -> None:
    clock = TurnedClock()
    await sent(database, clock, 5)
    assert [await pruned(database, clock, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert await bodies(database) == [None] * 5
    (record,) = await records(database, subject="s3")
    assert (record.last_status, record.last_body, record.replayable) == (200, None, False)
    assert await states(database) == {"delivered": 5}


async def test_what_is_young_pending_or_not_relayed_is_kept(database: Database) -> None:
    clock = TurnedClock()
    await sent(database, clock, 2, answer=500)
    assert await pruned(database, clock) == 0
    await happen(database, 1, "unheard.of")
    clock.turn(10)
    assert await pruned(database, clock) == 0, "an event without its cursor is still to come"
    assert None not in await bodies(database)
    await relay_all(database)
    assert await pruned(database, clock) == 1
    await deliverer(database, FakeClient(), clock).run_once()
    clock.turn(-3600)
    assert await pruned(database, clock) == 0
    clock.turn(3600)
    assert await pruned(database, clock) == 2


async def test_one_pending_delivery_of_several_keeps_the_event(database: Database) -> None:
    clock = TurnedClock()
    await sent(database, clock, 1)
    await endpoint(database, "")
    async with database.connection() as connection:
        await connection.execute(
            "WITH other AS (INSERT INTO webhook_endpoints (id, partner_environment_id, purpose, url)"
            " VALUES (gen_random_uuid(), 1, 'other', 'https://two.example/') RETURNING id)"
            " INSERT INTO webhook_deliveries (event_id, event_cursor, endpoint_id)"
            " SELECT outbox.id, cursor, other.id FROM outbox, other"
        )
    assert await pruned(database, clock) == 0
    assert None not in await bodies(database)


async def test_what_waits_for_a_disabled_endpoint_is_given_up_at_that_age(
    database: Database,
) -> None:
    clock = TurnedClock()
    await sent(database, clock, 3, answer=410)
    assert await states(database) == {"pending": 3}
    assert await pruned(database, clock) == 0, "it was disabled this moment"
    clock.turn(1)
    assert await pruned(database, clock) == 3
    assert await states(database) == {"failed": 3}
    assert {row["last_outcome"] for row in await deliveries(database)} == {"endpoint disabled"}


async def test_a_replay_and_a_pruning_at_the_same_moment(database: Database) -> None:
    """Whichever is first: a pending delivery has its payload."""

    clock = TurnedClock()
    await sent(database, clock, 1)
    (row,) = await deliveries(database)
    async with database.transaction() as tx:
        await replay_delivery(tx, 1, row["id"], clock.now())
        assert await pruned(database, clock) == 0
    assert await pruned(database, clock) == 0
    assert await bodies(database) != [None]


async def test_the_loop_prunes_by_age(database: Database) -> None:
    clock = TurnedClock()
    await sent(database, clock, 3)
    clock.turn(86_400)
    loop = pruning_loop(database, clock, timedelta(days=1) - timedelta(seconds=1))
    task = asyncio.create_task(loop.run())

    async def done() -> bool:
        return await bodies(database) == [None] * 3

    await until(done)
    loop.stop()
    await task


async def test_replies_about_a_subject_are_forgotten_and_later_ones_not_kept(
    database: Database,
) -> None:
    """Also the reply to an attempt that is under way meanwhile: nothing of it is known yet."""
    clock = TurnedClock()
    await sent(database, clock, 3, answer=500)
    owner = (await records(database, subject="s2"))[0]
    async with database.transaction() as tx:
        partner_environment_id = await tx.fetchval(
            "SELECT partner_environment_id FROM webhook_endpoints WHERE id = $1", owner.endpoint_id
        )
        await forget_replies(tx, partner_environment_id, ["s2", "unheard of"])
        await forget_replies(tx, partner_environment_id + 1, ["s1"])
    assert await replies(database) == [b"said", b"said", b""]
    clock.turn(3600)
    client = FakeClient(answers={"one.example": OutboundReply(200, b"said again", False, 0)})
    await deliverer(database, client, clock).run_once()
    assert await states(database) == {"delivered": 3}
    assert await replies(database) == [b"said again", b"said again", b""]


async def replies(database: Database) -> list[bytes | None]:
    return [(await records(database, subject=f"s{n}"))[0].last_body for n in range(3)]
