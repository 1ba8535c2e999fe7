"""The chain over the audit log: every committed entry once, in the order in which commits were seen."""

import asyncio
import random
import runpy
from hashlib import sha256
from typing import Any

import asyncpg
import pytest
from tests.db.audit.scene import OPERATOR, chain, chained, verified, write
from tests.db.webhooks.scene import until

from proof.core.canonical import canonical_json
from proof.db import Database
from proof.db.migrate import _VERSIONS, migrate
from proof.partners import audit_chain
from proof.partners.audit import newest_entries, record
from proof.partners.audit_chain import BATCH, entry_hash, extend, links, verify_chain, wire


async def test_each_hash_is_that_of_the_one_before_and_the_canonical_entry(
    database: Database,
) -> None:
    await chained(database, "partner.add", "partner.suspend")
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT hash FROM audit_chain ORDER BY position")
        second, first = await newest_entries(connection, 10)
    once = sha256(bytes(32) + canonical_json(wire(first))).digest()
    twice = sha256(once + canonical_json(wire(second))).digest()
    assert [row["hash"] for row in rows] == [once, twice]
    assert b'"after":{"wallets":["\xc3\xa9",null,true]}' in canonical_json(wire(first))
    assert wire(first)["at"] == first.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert (await verified(database)).findings == ()


async def test_every_column_of_the_log_is_hashed(database: Database) -> None:
    await write(database, "partner.add")
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'audit_log'"
        )
        (entry,) = await newest_entries(connection, 1)
    assert {row["column_name"] for row in rows} == set(wire(entry))


async def test_an_entry_that_commits_late_gets_a_later_position(database: Database) -> None:
    early, late = await database.dedicated(), await database.dedicated()
    item, two = early.transaction(), late.transaction()
    await item.start()
    await record(early, OPERATOR, "written first")
    await two.start()
    await record(late, OPERATOR, "committed first")
    await two.commit()
    assert await extend(database) == 1
    await item.commit()
    assert await extend(database) == 1
    await early.close()
    await late.close()
    assert await chain(database) == [(1, 2), (2, 1)]
    assert (await verified(database)).findings == ()


async def test_an_entry_undone_leaves_no_gap(database: Database) -> None:
    async def undone() -> None:
        async with database.transaction() as tx:
            await record(tx, OPERATOR, "undone")
            raise LookupError("undone")

    await write(database, "a")
    with pytest.raises(LookupError):
        await undone()
    await chained(database, "b")
    assert await chain(database) == [(1, 1), (2, 3)]
    assert (await verified(database)).findings == ()


async def test_many_writers_and_several_chainers(database: Database) -> None:
    async def scene() -> None:
        chosen, finished, expected, done = random.Random(7), asyncio.Event(), 0, 0

        async def writer(name: int) -> None:
            nonlocal expected
            connection = await database.dedicated()
            for n in range(12):
                transaction = connection.transaction()
                await transaction.start()
                for k in range(chosen.randrange(1, 4)):
                    await record(connection, OPERATOR, f"{name}.{n}.{k}")
                if chosen.random() < 0.2:
                    await transaction.rollback()
                else:
                    await transaction.commit()
                    expected += k + 1
            await connection.close()

        async def chaining() -> None:
            nonlocal done
            while not finished.is_set():
                added = await extend(database)
                done += added

        chainers = [asyncio.create_task(chaining()) for _ in range(3)]
        await asyncio.gather(*(writer(name) for name in range(4)))
        await until(lambda: done >= expected)
        finished.set()
        await asyncio.gather(*chainers)
        found = await chain(database)
        assert [position for position, _ in found] == list(range(1, expected + 1))
        assert (await verified(database)).findings == ()
        assert (await verified(database)).checked == expected

    await scene()


async def test_more_than_one_batch(database: Database) -> None:
    async with database.transaction() as tx:
        for n in range(BATCH + 3):
            await record(tx, OPERATOR, f"{n}")
    assert [await extend(database) for _ in range(3)] == [BATCH, 3, 0]
    steps: list[int] = []
    async with database.connection() as connection:
        found = await audit_chain.newest_head(connection)
        assert [link.head.position async for link in links(connection, BATCH)] == [
            501,
            502,
            503,
        ]
        result = await verify_chain(connection, steps.append)
    assert found is not None
    assert (found.position, result.checked, steps) == (BATCH + 3, BATCH + 3, [BATCH])
    assert result.findings == ()


async def test_while_one_chains_another_does_nothing(database: Database) -> None:
    await write(database, "a")
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock($1)", audit_chain._CHAIN_LOCK)
        assert await extend(database) == 0
    assert await extend(database) == 1


async def test_an_entry_noted_again_does_not_stop_the_chain(database: Database) -> None:
    await chained(database, "a")
    async with database.connection() as connection:
        await connection.execute("INSERT INTO audit_unchained VALUES (1), (999)")
    await chained(database, "b")
    assert await chain(database) == [(1, 1), (2, 2)]


async def test_what_was_written_before_there_was_a_chain_is_chained(
    database: Database, owner_arguments: dict[str, Any]
) -> None:
    migration = runpy.run_path(str(_VERSIONS / "0004_keys_and_audit.py"))

    owner = await asyncpg.connect(**owner_arguments)
    await owner.execute(
        "DROP TABLE signing_keys, audit_heads, audit_chain, audit_unchained;"
        " DROP FUNCTION audit_written, has_canonical_form CASCADE;"
        " DELETE FROM partner_environments WHERE id = 0;"
        " DELETE FROM partners WHERE id = 'ptr_system';"
        " INSERT INTO audit_log (actor, action) VALUES ('cli', 'partner.add')"
    )
    await owner.execute(migration["STATEMENTS"])
    await owner.close()
    await migrate(owner_arguments, "proof_app")
    await chained(database, "later")
    assert await chain(database) == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    "value",
    ['{"a": 1.5}', '{"a": [{"b": 9007199254740992}]}', '{"é": 1}', '{"a": {"ü": null}}', "1e400"],
)
async def test_the_database_takes_no_entry_without_a_canonical_form(
    database: Database, value: str
) -> None:
    connection = await database.dedicated()
    try:
        for column in ("before", "after"):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(
                    f"INSERT INTO audit_log (actor, action, {column}) VALUES ('x', 'y', $1)",
                    value,
                )
    finally:
        await connection.close()


async def test_what_the_database_takes_can_be_chained(database: Database) -> None:
    async with database.connection() as connection:
        for value in ('{"a": 1.0, "b": -9007199254740991}', "[]", '"é"', "null", "1e3", "{}"):
            await connection.execute(
                "INSERT INTO audit_log (actor, action, after) VALUES ('x', 'y', $1)", value
            )
        await extend(database)
        entries = await newest_entries(connection, 10)
    assert [entry.after for entry in reversed(entries)] == [
        {"a": 1, "b": -9007199254740991},
        [],
        "é",
        None,
        1000,
        {},
    ]
    result = await verified(database)
    assert (result.checked, result.waiting, result.findings) == (6, 0, ())


async def test_the_hash_of_an_entry_depends_on_what_went_before(database: Database) -> None:
    await write(database, "a")
    async with database.connection() as connection:
        (entry,) = await newest_entries(connection, 1)
    assert entry_hash(bytes(32), entry) != entry_hash(bytes(31) + b"\x01", entry)
