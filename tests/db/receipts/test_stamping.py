"""Every record of the ramp is stamped, and none twice, whoever is killed and however many stamp."""

import asyncio
import hashlib
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import Run
from tests.db.webhooks.scene import until
from tests.support.lives import Moment, lives
from tests.support.partners import issued, onboard
from tests.support.ramp import chain_of, hear, make_transaction, said
from tests.support.stamps import stamps_of

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions import unstamped
from proof.receipts import stamping
from proof.receipts.stamping import Stamper
from proof.timestamps.trees.sealing import close_due

PROGRAM = "tests.db.receipts.stamp_until_killed"
TODAY = datetime(2026, 5, 4, 23, 59, tzinfo=UTC)


class TurnedClock:
    """Stands still but when turned."""

    moment = TODAY

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def owners(run: Run[Any], database: Database, vault: Vault) -> list[int]:
    """A partner's environments."""
    partner = run(onboard(database, vault))
    return [issued(partner, environment).partner_environment_id for environment in Environment]


async def lived(database: Database, vault: Vault, owner: int) -> UUID:
    """A transaction with three records."""
    made = await make_transaction(database, vault, owner)
    await hear(database, vault, said(made, ProviderStatus.COMPLETED))
    return made


async def stamp_all(database: Database, stamper: Stamper | None = None) -> int:
    """How many records were stamped, until none waits."""
    found = stamper or Stamper(database, SystemClock())
    total = 0

    async def done() -> bool:
        # Whoever was killed holds the lock until its server has noticed.
        nonlocal total
        total += await found.stamp()
        return not (await stamps_of(database)).waiting

    await until(done)
    return total


async def days_of(database: Database) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM ramp_chain_days ORDER BY day, transaction_id")
    return [tuple(row) for row in rows]


async def test_records_of_both_environments_are_stamped_apart(
    database: Database, vault: Vault, owners: list[int]
) -> None:
    for owner in owners:
        await lived(database, vault, owner)
    before = await stamps_of(database)
    assert (before.waiting, before.stamped.total()) == (before.recorded, 0)
    assert await stamp_all(database) == 6
    after = await stamps_of(database)
    assert (after.stamped, after.problems()) == (before.recorded, [])
    async with database.connection() as connection:
        others = "SELECT count(*) FROM timestamp_usage WHERE partner_environment_id > 0"
        assert await connection.fetchval(others) == 0
    assert await Stamper(database, SystemClock()).stamp() == 0


async def test_a_round_that_is_closed_meanwhile_is_followed_by_another(
    database: Database, vault: Vault, owners: list[int]
) -> None:
    stamper = Stamper(database, SystemClock())
    for _ in range(3):
        await lived(database, vault, owners[0])
        assert await stamp_all(database, stamper) == 3
        await close_due(database, 0)
    assert (await stamps_of(database)).problems() == []


async def test_a_few_records_are_looked_up_among_many(
    database: Database, owners: list[int]
) -> None:
    """Whatever PostgreSQL last counted of the tables: here nothing."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency, network,"
            " crypto_amount, created_at, updated_at) SELECT gen_random_uuid(), $1, 1, 'buy', 'USDT',"
            " 'TRC20', 1, now(), now() FROM generate_series(1, 20000)",
            owners[0],
        )
        await connection.execute(
            "INSERT INTO ramp_records SELECT id, 1, sha256('a'), 'session.opened' FROM ramp_transactions"
        )
        rows = await connection.fetch(f"EXPLAIN {unstamped._WAITING}", stamping.BATCH)
    plan = "\n".join(row[0] for row in rows)
    for table in ("ramp_records", "ramp_transactions"):
        assert f"Index Scan using {table}_pkey" in plan


async def test_any_number_stamp_at_once(
    database: Database,
    vault: Vault,
    owners: list[int],
    database_arguments: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stamping, "BATCH", 4)
    for _ in range(4):
        for owner in owners:
            await lived(database, vault, owner)
    others = [await Database.open(database_arguments) for _ in range(3)]
    try:
        each = [stamp_all(other) for other in others]
        writing = [lived(database, vault, owner) for owner in owners for _ in range(4)]
        results = await asyncio.gather(*each, *writing)
    finally:
        for other in others:
            await other.close()
    found = await stamps_of(database)
    assert found.problems() == []
    stamped = sum(result for result in results if isinstance(result, int))
    assert stamped + await stamp_all(database) == found.recorded.total() == 48


async def test_what_is_queued_again_is_not_stamped_again(
    database: Database, vault: Vault, owners: list[int]
) -> None:
    """As after a backup of the queue alone is brought back."""
    await lived(database, vault, owners[0])
    await stamp_all(database)
    before, days = await stamps_of(database), await days_of(database)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO ramp_unstamped SELECT transaction_id, sequence FROM ramp_records LIMIT 2"
        )
    await stamp_all(database)
    assert await stamps_of(database) == before
    assert await days_of(database) == days


async def test_the_chains_that_changed_on_a_day_are_kept_as_they_were_at_its_end(
    database: Database, vault: Vault, owners: list[int]
) -> None:
    clock = TurnedClock()
    stamper = Stamper(database, clock)
    made = await make_transaction(database, vault, owners[0])
    expected = []
    for verdict in (ProviderStatus.PROCESSING, ProviderStatus.COMPLETED):
        await hear(database, vault, said(made, verdict))
        await stamp_all(database, stamper)
        chain = await chain_of(database, made)
        head = hashlib.sha256(chain[-1]).digest()
        expected.append((owners[0], clock.moment.date(), made, len(chain), head))
        clock.moment += timedelta(minutes=2)
    assert await days_of(database) == expected
    assert [day for _, day, *_ in expected] == [date(2026, 5, 4), date(2026, 5, 5)]
    other = await make_transaction(database, vault, owners[0])
    await hear(database, vault, said(other, ProviderStatus.PROCESSING))
    await stamp_all(database, stamper)
    await hear(database, vault, said(other, ProviderStatus.COMPLETED))
    await stamp_all(database, stamper)
    lengths = {row[2]: row[3] for row in await days_of(database) if row[1] == date(2026, 5, 5)}
    assert lengths == {made: 3, other: 3}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_statement_each_record_is_stamped_once(
    moment: Moment,
    run: Run[Any],
    database: Database,
    vault: Vault,
    owners: list[int],
    database_arguments: dict[str, Any],
) -> None:
    with lives(PROGRAM, database_arguments) as died:
        for number in count(1):
            for owner in owners:
                run(lived(database, vault, owner))
            killed = died(number, moment)
            assert run(stamps_of(database)).problems() == [], f"killed {moment} {number}"
            run(stamp_all(database))
            found = run(stamps_of(database))
            assert (found.problems(), found.waiting.total()) == ([], 0)
            if not killed:
                break
    # Two transactions, each of a round, a lock, a look, a submission and what follows from it.
    assert number > 15
