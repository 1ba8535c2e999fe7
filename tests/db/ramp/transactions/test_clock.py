"""A sandbox's time goes forward only, and nobody else's with it."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.scene import START, TurnedClock
from tests.support.ramp import make_transaction, row_of

from proof.core.errors import InvalidInputError
from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp import clock


async def advance(database: Database, owner: int, seconds: int) -> Any:
    async with database.transaction() as tx:
        return await clock.advance(tx, owner, seconds, TurnedClock())


async def present(database: Database, owner: int) -> Any:
    async with database.connection() as connection:
        return await clock.now(connection, owner, TurnedClock())


async def test_steps_add_up_for_one_environment(
    database: Database, owner: int, sandbox: int
) -> None:
    assert await present(database, sandbox) == START
    for _ in range(2):
        answered = await advance(database, sandbox, 90)
    assert answered == await present(database, sandbox) == START + timedelta(seconds=180)
    assert await present(database, owner) == START


@pytest.mark.parametrize("seconds", [0, -1, clock.LONGEST_STEP_S + 1, 2**63])
async def test_no_step_back_and_none_too_far(
    database: Database, sandbox: int, seconds: int
) -> None:
    with pytest.raises(InvalidInputError, match=r"^seconds: "):
        await advance(database, sandbox, seconds)
    assert await present(database, sandbox) == START


async def test_no_clock_is_more_than_ten_years_ahead(database: Database, sandbox: int) -> None:
    for _ in range(10):
        await advance(database, sandbox, clock.LONGEST_STEP_S)
    with pytest.raises(InvalidInputError, match=r"^seconds: "):
        await advance(database, sandbox, 1)
    expected = START + 10 * timedelta(seconds=clock.LONGEST_STEP_S)
    assert await present(database, sandbox) == expected


def test_what_is_open_there_becomes_due_and_nothing_else(
    run: Run[Any], database: Database, vault: Vault, owner: int, sandbox: int
) -> None:
    later = START + timedelta(hours=1)
    theirs, ours = (
        run(make_transaction(database, vault, item, at=later)) for item in (owner, sandbox)
    )
    run(advance(database, sandbox, 1))
    assert run(row_of(database, ours))["next_poll_at"] == START
    assert run(row_of(database, theirs))["next_poll_at"] == later
