"""Hearing of events: at once, in order, and again after the connection that listens was lost."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.listening import end_listeners, listeners
from tests.support.websockets import relaying

from proof.core.errors import DatabaseUnavailableError
from proof.events import PUBLISHED, Event, Listener, Stream, listening, publish, relay

TYPE = "transaction.updated"


class Heard:
    """What a stream handed on. `faults` is how many times it is not taken."""

    def __init__(self) -> None:
        self.all: list[frozenset[str] | None] = []
        self.faults = 0

    async def __call__(self, subjects: Collection[str] | None) -> None:
        if self.faults:
            self.faults -= 1
            raise DatabaseUnavailableError("not taken")
        self.all.append(None if subjects is None else frozenset(subjects))

    @property
    def subjects(self) -> list[str]:
        return [item for each in self.all if each is not None for item in sorted(each)]


@asynccontextmanager
async def streaming(platform: Platform, heard: Heard) -> AsyncIterator[Stream]:
    stream = Stream(platform.database, TYPE, heard)
    task = asyncio.create_task(stream.run())
    await until(lambda: None in heard.all)
    try:
        yield stream
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def happen(platform: Platform, *subjects: str, kind: str = TYPE) -> None:
    async with platform.database.transaction() as tx:
        await publish(tx, [Event(1, kind, subject, b"{}") for subject in subjects])


async def relayed(platform: Platform) -> int:
    async with platform.database.transaction() as tx:
        return len(await relay(tx, 1_000))


async def test_events_of_one_type_are_heard_of_when_they_are_relayed(platform: Platform) -> None:
    heard = Heard()
    async with streaming(platform, heard):
        await happen(platform, "a", "b")
        await happen(platform, "c", kind="timestamp.proof")
        assert heard.subjects == []
        await relayed(platform)
        await until(lambda: heard.subjects == ["a", "b"])
        await happen(platform, "d", "a")
        await relayed(platform)
        await until(lambda: heard.subjects == ["a", "b", "a", "d"])


async def test_what_was_not_taken_is_handed_on_again(platform: Platform) -> None:
    heard = Heard()
    async with streaming(platform, heard):
        heard.faults = 2
        await happen(platform, "kept")
        await relayed(platform)
        await until(lambda: heard.subjects == ["kept"])
        assert heard.faults == 0


async def test_after_the_connection_was_lost_anything_may_have_changed(platform: Platform) -> None:
    async def both_listen() -> bool:
        """The platform's own and the test's."""
        return await listeners(platform.database) == 2

    heard = Heard()
    async with streaming(platform, heard):
        await until(both_listen)
        before = heard.all.count(None)
        assert await end_listeners(platform.database) == 2
        await until(lambda: heard.all.count(None) > before)
        await happen(platform, "later")
        await relayed(platform)
        await until(lambda: "later" in heard.subjects)


async def test_a_database_put_back_makes_everything_read_again(platform: Platform) -> None:
    heard = Heard()
    async with streaming(platform, heard):
        await happen(platform, "gone")
        await relayed(platform)
        await until(lambda: "gone" in heard.subjects)
        before = heard.all.count(None)
        await platform.fetch(
            "UPDATE outbox SET cursor = NULL, sequence = NULL WHERE subject = 'gone'"
        )
        await until(lambda: heard.all.count(None) > before)


async def test_a_commit_wakes_the_relay_and_a_rollback_does_not(platform: Platform) -> None:
    await relayed(platform)
    notices: list[int] = []
    task = asyncio.create_task(
        Listener(platform.database, {PUBLISHED: lambda: notices.append(1)}).run()
    )
    await until(lambda: len(notices) == 1)
    with suppress(ZeroDivisionError):
        async with platform.database.transaction() as tx:
            await publish(tx, [Event(1, TYPE, "undone", b"{}")])
            raise ZeroDivisionError
    await happen(platform, "done", "done too")
    await until(lambda: len(notices) > 1)
    assert len(notices) == 2
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class PooledConnection(asyncpg.Connection):
    """Through a pooler, whose sessions hear of nothing once the statement is over."""

    async def add_listener(self, channel: str, callback: Any) -> None:
        await super().add_listener(channel, callback)
        await self.execute("UNLISTEN *")


async def test_a_listener_knows_whether_it_hears(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_HEARD_WITHIN_S", 0.5)
    certain: list[bool] = []
    direct = Listener(platform.database, {"a": lambda: None}, certain=certain.append)
    task = asyncio.create_task(direct.run())
    await until(lambda: certain == [True])
    assert await end_listeners(platform.database)
    await until(lambda: certain[:3] == [True, False, True])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert certain[-1] is False

    deaf = await asyncpg.connect(**platform.database._arguments, connection_class=PooledConnection)
    assert not await direct._hears(deaf, asyncio.Event())
    await deaf.close()


async def test_events_keep_their_order_within_one_transaction(platform: Platform) -> None:
    names = [f"subject {number}" for number in range(300)]
    await relayed(platform)
    await happen(platform, *names)
    rows = await platform.fetch("SELECT subject FROM outbox WHERE cursor IS NULL ORDER BY position")
    assert [row["subject"] for row in rows] == names
    async with platform.database.transaction() as tx:
        assert [each.event.subject for each in await relay(tx, 1_000)] == names
        await publish(tx, [])


async def test_a_relay_that_hardly_looks_is_woken_by_each_commit(platform: Platform) -> None:
    heard = Heard()
    async with relaying(platform.database), streaming(platform, heard):
        for number in range(20):
            await happen(platform, f"event {number}")
            await until(lambda: len(heard.subjects) == number + 1)  # noqa: B023 - awaited here
