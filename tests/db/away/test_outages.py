"""What the server or the network does is an outage; what the body of a transaction raises is its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from proof.core.errors import BusyError, DatabaseUnavailableError, UnavailableError
from proof.db import Connection, Database
from proof.db.group_commit import Lanes

Body = Callable[[Connection], Awaitable[Any]]
KILL = "SELECT pg_terminate_backend(pg_backend_pid())"


async def times_out_itself(_tx: Connection) -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def times_out_over_a_statement(tx: Connection) -> None:
    async with asyncio.timeout(0.05):
        await tx.execute("SELECT pg_sleep(60)")


async def two_statements_at_once(tx: Connection) -> None:
    first = asyncio.create_task(tx.execute("SELECT pg_sleep(0.1)"))
    await asyncio.sleep(0)
    try:
        await tx.execute("SELECT 1")
    finally:
        await first


def raising(error: Exception) -> Body:
    async def body(_tx: Connection) -> None:
        raise error

    return body


async def after_the_connection_is_gone(tx: Connection) -> None:
    try:
        await tx.execute(KILL)
    except asyncpg.PostgresError:
        raise ValueError("a fault of ours") from None


OURS = [
    (times_out_itself, TimeoutError),
    (times_out_over_a_statement, TimeoutError),
    (two_statements_at_once, asyncpg.InterfaceError),
    (after_the_connection_is_gone, ValueError),
    *(
        (raising(error), type(error))
        for error in (TimeoutError(), OSError("disk"), ConnectionResetError(), KeyError("name"))
    ),
]


@pytest.mark.parametrize("way", ["connection", "transaction"])
@pytest.mark.parametrize(("body", "expected"), OURS)
async def test_faults_of_ours_stay_what_they_are(
    database: Database, way: str, body: Body, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        async with getattr(database, way)() as connection:
            await body(connection)
    assert await works(database)


async def terminated(tx: Connection) -> None:
    await tx.execute(KILL)


async def gone_before(tx: Connection) -> None:
    tx.terminate()
    await tx.execute("SELECT 1")


async def statement_timeout(tx: Connection) -> None:
    await tx.execute("SET LOCAL statement_timeout = 20; SELECT pg_sleep(60)")


async def no_answer(tx: Connection) -> None:
    await tx.fetch("SELECT pg_sleep(60)", timeout=0.05)


async def writes_to_a_replica(tx: Connection) -> None:
    await tx.execute("SET TRANSACTION READ ONLY; DELETE FROM partners")


async def idle_too_long(tx: Connection) -> None:
    await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 20")
    gone = asyncio.Event()
    tx.add_termination_listener(lambda _connection: gone.set())
    await gone.wait()
    await tx.execute("SELECT 1")


async def driver_lost_its_place(_tx: Connection) -> None:
    raise asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress")


THEIRS = [
    driver_lost_its_place,
    terminated,
    gone_before,
    statement_timeout,
    no_answer,
    writes_to_a_replica,
    idle_too_long,
]


@pytest.mark.parametrize("body", THEIRS)
async def test_what_postgresql_did_is_an_outage_and_the_next_call_works(
    database: Database, body: Body
) -> None:
    with pytest.raises(DatabaseUnavailableError):
        async with database.transaction() as tx:
            await body(tx)
    assert await works(database)


async def test_a_lock_that_others_hold_is_waited_for_and_then_the_server_is_busy(
    database: Database,
) -> None:
    async def wait_for_it() -> None:
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL lock_timeout = 20")
            await tx.execute("SELECT pg_advisory_xact_lock(1)")

    async with database.transaction() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(BusyError):
            await wait_for_it()


def test_two_that_wait_for_each_other_end_as_busy(run: Any, database: Database) -> None:
    async def holder(first: int, second: int, both: asyncio.Barrier) -> None:
        async with database.transaction() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock($1)", first)
            await both.wait()
            await tx.execute("SELECT pg_advisory_xact_lock($1)", second)

    async def scene() -> list[BaseException | None]:
        both = asyncio.Barrier(2)
        return [
            *await asyncio.gather(holder(1, 2, both), holder(2, 1, both), return_exceptions=True)
        ]

    assert sorted(type(each).__name__ for each in run(scene())) == ["BusyError", "NoneType"]


class Entry:
    """A number to be committed."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("body", "expected", "event"),
    [
        (terminated, DatabaseUnavailableError, "things_failed"),
        (no_answer, DatabaseUnavailableError, "things_failed"),
        (raising(TimeoutError()), TimeoutError, "things_broken"),
        (raising(OSError("disk")), OSError, "things_broken"),
    ],
)
async def test_a_lane_tells_its_own_faults_from_outages(
    database: Database, body: Body, expected: type[Exception], event: str
) -> None:
    with capture_logs() as logs:
        broken = True

        async def commit(connection: Connection, batch: list[Entry]) -> None:
            if broken:
                await body(connection)
            for entry in batch:
                entry.done.set_result(None)

        lanes: Lanes[Entry] = Lanes("things", database, 1, commit, 10)
        lanes.start()
        failing, working = Entry(), Entry()
        lanes.put(failing)
        with pytest.raises(expected):
            await failing.done
        broken = False
        lanes.put(working)
        await working.done
        await lanes.close()
    assert [entry["event"] for entry in logs] == [event]
    assert isinstance(logs[0].get("exc_info"), expected) == (event == "things_broken")


async def test_what_breaks_a_commit_fails_alone_and_what_is_away_fails_all(
    database: Database,
) -> None:
    sizes: list[int] = []

    async def commit(connection: Connection, batch: list[Entry]) -> None:
        sizes.append(len(batch))
        for entry in batch:
            if entry.number < 0:
                await connection.execute(KILL)
            await connection.execute("SELECT 1 / $1::integer", entry.number)
        for entry in batch:
            entry.done.set_result(None)

    async def scene() -> list[list[Any]]:
        lanes: Lanes[Entry] = Lanes("things", database, 1, commit, 10)
        lanes.start()
        found = []
        for numbers in ([1, 0, 2], [1, -1, 2], [1]):
            entries = [Entry(number) for number in numbers]
            for entry in entries:
                lanes.put(entry)
            done = await asyncio.gather(*(e.done for e in entries), return_exceptions=True)
            found.append([None if error is None else type(error) for error in done])
        await lanes.close()
        return found

    with capture_logs():
        broken, away, after = await scene()
    assert broken == [None, asyncpg.DivisionByZeroError, None]
    assert away == [DatabaseUnavailableError] * 3
    assert after == [None]
    assert sizes == [3, 1, 1, 1, 3, 1]


async def test_a_lane_tells_who_waits_that_others_hold_what_it_needs(database: Database) -> None:
    async def commit(connection: Connection, _batch: list[Entry]) -> None:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = 20")
            await connection.execute("SELECT pg_advisory_xact_lock(1)")

    with capture_logs():
        lanes: Lanes[Entry] = Lanes("things", database, 1, commit, 10)
        lanes.start()
        entry = Entry()
        async with database.transaction() as holder:
            await holder.execute("SELECT pg_advisory_xact_lock(1)")
            lanes.put(entry)
            with pytest.raises(BusyError):
                await entry.done
        await lanes.close()


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(UnavailableError):
        await Database.open({"host": "127.0.0.1", "port": 1, "user": "u", "database": "d"})


async def works(database: Database) -> bool:
    async with database.transaction() as tx:
        return await tx.fetchval("SELECT 1") == 1 and not await tx.fetchval(
            "SELECT current_setting('transaction_read_only')::boolean"
        )
