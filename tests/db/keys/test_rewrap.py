"""Moving sealed records to a new key: all of them, whenever it is stopped, readable all the while."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from tests.db.keys.records import (
    BOTH,
    NEW,
    NOW,
    OLD,
    add_one_of_each,
    add_viewed_handover,
    add_webhook_secrets,
    fetch,
)
from tests.support.lives import Moment, lives

from proof.core.secrets import SealError
from proof.db import Database
from proof.db.sealed import BATCH, Census, census, count_older, count_sealed, rewrap
from proof.main.parts.sealed import SEALED
from proof.partners.audit_chain import SYSTEM
from proof.partners.keys.session_signing import SessionParameters, sign, verify
from proof.partners.types import Environment

PROGRAM = "tests.db.keys.rewrap_until_killed"


async def counted(database: Database, vault: Any = BOTH) -> Census:
    return await census(database, vault, SEALED, lambda _: None)


def by_key(found: Census) -> dict[str, int]:
    totals: dict[str, int] = {}
    for use in found.uses:
        totals[use.key_id] = totals.get(use.key_id, 0) + use.records
    return totals


def test_every_sealed_column_is_registered(run: Any, database: Database) -> None:
    rows = run(
        fetch(
            database,
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'bytea' AND column_name LIKE '%sealed%'",
        )
    )
    assert len(rows) >= 4
    assert {(row["table_name"], row["column_name"]) for row in rows} == {
        (column.table, column.column) for column in SEALED
    }


@pytest.mark.parametrize("column", SEALED, ids=lambda column: column.table)
def test_the_key_of_a_sealed_column_finds_one_record(
    run: Any, database: Database, column: Any
) -> None:
    rows = run(
        fetch(
            database,
            "SELECT array_agg(a.attname::text) AS names FROM pg_index i JOIN pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indpred IS NULL"
            " GROUP BY i.indexrelid",
            column.table,
        )
    )
    assert any(set(row["names"]) <= set(column.key) for row in rows)


async def test_records_as_the_product_seals_them_open_by_the_register(database: Database) -> None:
    total = await add_one_of_each(database)
    await add_viewed_handover(database)
    assert await count_sealed(database, SEALED) == total
    found = await counted(database, OLD)
    assert (found.unopened, found.problems) == (0, ())
    assert by_key(found) == {OLD.newest_id.hex(): total}
    assert {use.table for use in found.uses} == {
        "log_keys",
        "receipt_keys",
        "signing_keys",
        "webhook_secrets",
    }


async def test_everything_is_moved_and_the_old_key_can_go(database: Database) -> None:
    total = await add_one_of_each(database)
    await add_viewed_handover(database)
    assert await count_older(database, BOTH, SEALED) == total
    steps: list[int] = []
    done = await rewrap(database, BOTH, SEALED, steps.append)
    assert sum(steps) == sum(done.records.values()) == total
    assert await count_older(database, BOTH, SEALED) == 0
    found = await counted(database, NEW)
    assert (found.unopened, by_key(found)) == (0, {NEW.newest_id.hex(): total})
    again = await rewrap(database, BOTH, SEALED, steps.append)
    assert sum(again.records.values()) == 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.timeout(900)
def test_killed_anywhere_it_is_resumed(
    moment: Moment, run: Any, database: Database, database_arguments: dict[str, Any]
) -> None:
    run(add_one_of_each(database))
    run(add_webhook_secrets(database, 2 * BATCH))
    total = run(count_sealed(database, SEALED))
    before = total
    # Each batch is a BEGIN, a select, an update a record and a COMMIT.
    with lives(PROGRAM, database_arguments) as died:
        for number in (1, 2, 4, 9, 20, 60, 130, 131, 132, 180):
            killed = died(number, moment)
            found = run(counted(database))
            assert found.unopened == 0
            assert sum(by_key(found).values()) == total
            older = run(count_older(database, BOTH, SEALED))
            assert older <= before
            before = older
            if not killed:
                break
    assert before < total
    run(rewrap(database, BOTH, SEALED, lambda _: None))
    assert by_key(run(counted(database, NEW))) == {NEW.newest_id.hex(): total}


def test_two_at_once_and_readers_meanwhile(run: Any, database: Database) -> None:
    async def scene() -> None:
        await add_one_of_each(database)
        await add_webhook_secrets(database, 3 * BATCH)
        total = await count_sealed(database, SEALED)
        finished = asyncio.Event()
        session, environment = SessionParameters("a", "", "t"), Environment.PRODUCTION
        reads = 0

        async def reading() -> None:
            nonlocal reads
            while not finished.is_set():
                async with database.connection() as connection:
                    signature = await sign(connection, BOTH, environment, session, NOW)
                    await verify(connection, BOTH, environment, session, signature, NOW)
                assert (await counted(database)).unopened == 0
                reads += 1

        reader = asyncio.create_task(reading())
        done = await asyncio.gather(
            *(rewrap(database, BOTH, SEALED, lambda _: None) for _ in range(2))
        )
        finished.set()
        await reader
        assert reads > 0
        assert sum(sum(item.records.values()) for item in done) == total
        assert by_key(await counted(database, NEW)) == {NEW.newest_id.hex(): total}

    run(scene())


async def test_what_does_not_open_is_named_and_left_alone(database: Database) -> None:
    await add_webhook_secrets(database, 2)
    ids = [row["id"] for row in await fetch(database, "SELECT id FROM webhook_secrets")]
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE webhook_secrets SET sealed = sealed || 'x' WHERE id = $1", ids[0]
        )
        await connection.execute(
            "INSERT INTO webhook_secrets (id, partner_environment_id, sealed)"
            " VALUES (gen_random_uuid(), $1, 'no seal')",
            SYSTEM.id,
        )
    done = await rewrap(database, BOTH, SEALED, lambda _: None)
    assert done.records["webhook_secrets"] == 1
    assert done.unopened == 2
    assert f"the sealed bytes of webhook secret {ids[0]} were altered or moved" in done.problems
    found = await counted(database)
    assert found.problems == done.problems
    assert by_key(found) == {"": 1, OLD.newest_id.hex(): 1, NEW.newest_id.hex(): 1}


async def test_without_the_old_key_nothing_is_lost(database: Database) -> None:
    total = await add_one_of_each(database)
    before = await fetch(database, "SELECT id, sealed FROM webhook_secrets ORDER BY id")
    done = await rewrap(database, NEW, SEALED, lambda _: None)
    assert (sum(done.records.values()), done.unopened) == (0, total)
    assert await fetch(database, "SELECT id, sealed FROM webhook_secrets ORDER BY id") == before
    with pytest.raises(SealError, match="no key-encryption key at hand"):
        NEW.open(before[0]["sealed"], f"webhook secret {before[0]['id']}")


async def test_a_handover_is_moved_too(database: Database) -> None:
    token = sha256(b"token").digest()
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO handovers (token_sha256, partner_id, sealed, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $4)",
            token,
            SYSTEM.partner_id,
            OLD.seal(b"sheet", f"handover {token.hex()}"),
            NOW,
        )
    await rewrap(database, BOTH, SEALED, lambda _: None)
    (row,) = await fetch(database, "SELECT sealed FROM handovers")
    assert NEW.open(row["sealed"], f"handover {token.hex()}") == b"sheet"
