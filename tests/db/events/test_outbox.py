"""The outbox: one order for every reader, whatever the order of commits."""

import asyncio
import random
from uuid import UUID

import pytest
from tests.db.webhooks.scene import until
from tests.support.application import Platform

from proof.events import Event, RelayedEvent, publish, relay


def event(subject: str, owner: int = 1) -> Event:
    return Event(owner, "timestamp.proof", subject, subject.encode())


async def relayed(platform: Platform, limit: int = 1000) -> list[RelayedEvent]:
    async with platform.database.transaction() as tx:
        return await relay(tx, limit)


def require_order(found: list[RelayedEvent], expected: set[UUID]) -> None:
    """Nothing missed, nothing twice, cursors ascending as handed on."""
    cursors = [item.cursor for item in found]
    assert cursors == sorted(set(cursors))
    assert len(found) == len(expected)
    assert {item.event.id for item in found} == expected


async def test_an_event_comes_through_as_published(platform: Platform) -> None:
    await relayed(platform)
    sent = [event("a"), Event(7, "other.type", "b", b"\x00\xff{}", 3)]
    async with platform.database.transaction() as tx:
        await publish(tx, sent)
    found = await relayed(platform)
    assert [item.event for item in found] == sent
    assert await relayed(platform) == []


async def test_two_transactions_committed_in_reverse_order(platform: Platform) -> None:
    await relayed(platform)
    early, late = await platform.database.dedicated(), await platform.database.dedicated()
    found: list[RelayedEvent] = []
    stop = asyncio.Event()

    async def polling() -> None:
        while not stop.is_set():
            found.extend(await relayed(platform))

    item, two = early.transaction(), late.transaction()
    await item.start()
    await two.start()
    first, second = event("written first"), event("committed first")
    await publish(early, [first])
    await publish(late, [second])
    poll = asyncio.create_task(polling())
    await two.commit()
    await until(lambda: len(found) == 1)
    await item.commit()
    await until(lambda: len(found) == 2)
    stop.set()
    await poll
    await early.close()
    await late.close()
    assert [each.event for each in found] == [second, first]
    require_order(found, {first.id, second.id})


async def test_many_writers_and_several_relays(platform: Platform) -> None:
    await relayed(platform)
    chosen, found, expected = random.Random(3), list[RelayedEvent](), set[UUID]()
    finished = asyncio.Event()

    async def writer(name: int) -> None:
        connection = await platform.database.dedicated()
        for n in range(15):
            sent = [event(f"{name} {n} {k}") for k in range(chosen.randrange(1, 5))]
            transaction = connection.transaction()
            await transaction.start()
            await publish(connection, sent)
            if chosen.random() < 0.2:
                await transaction.rollback()
            else:
                await transaction.commit()
                expected.update(item.id for item in sent)
        await connection.close()

    async def relaying() -> None:
        while not finished.is_set():
            async with platform.database.transaction() as tx:
                batch = await relay(tx, 7)
            found.extend(batch)

    relays = [asyncio.create_task(relaying()) for _ in range(3)]
    await asyncio.gather(*(writer(name) for name in range(4)))
    await until(lambda: len(found) >= len(expected))
    finished.set()
    await asyncio.gather(*relays)
    require_order(sorted(found, key=lambda item: item.cursor), expected)
    assert await relayed(platform) == []


async def test_a_relay_that_fails_hands_everything_on_again(platform: Platform) -> None:
    await relayed(platform)
    sent = [event("kept 1"), event("kept 2")]
    async with platform.database.transaction() as tx:
        await publish(tx, sent)

    async def failing() -> None:
        async with platform.database.transaction() as tx:
            assert len(await relay(tx, 10)) == 2
            raise LookupError("killed before its commit")

    with pytest.raises(LookupError):
        await failing()
    assert [item.event for item in await relayed(platform)] == sent


async def test_while_one_relay_works_another_finds_nothing(platform: Platform) -> None:
    await relayed(platform)
    async with platform.database.transaction() as tx:
        await publish(tx, [event(str(n)) for n in range(5)])
    async with platform.database.transaction() as tx:
        assert len(await relay(tx, 2)) == 2
        assert await relayed(platform) == []
    rest = await relayed(platform)
    assert [item.event.subject for item in rest] == ["2", "3", "4"]


async def test_an_event_of_a_transaction_undone_never_happened(platform: Platform) -> None:
    async def undone() -> None:
        async with platform.database.transaction() as tx:
            await publish(tx, [event("undone")])
            raise LookupError("undone")

    await relayed(platform)
    with pytest.raises(LookupError):
        await undone()
    assert await relayed(platform) == []
