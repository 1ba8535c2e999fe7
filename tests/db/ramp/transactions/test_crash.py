"""Killed before any of its statements, a worker loses no callback and applies none twice."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.scene import (
    START,
    TurnedClock,
    call_back,
    callbacks,
    open_session,
    providers,
)
from tests.db.webhooks.scene import until
from tests.support.lives import Moment, lives
from tests.support.ramp import make_transaction, published_of, row_of
from tests.support.stamps import stamps_of

from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.reconciler import LEASE, Reconciler

PROGRAM = "tests.db.ramp.transactions.work_until_killed"


async def recovered(database: Database, vault: Vault, unused: UUID) -> None:
    """The heir's work, once the server has noticed that the dead one's connection is gone."""
    after, them = TurnedClock(START + LEASE + timedelta(hours=1)), providers(database)

    async def done() -> bool:
        await process(database, vault, them, after)
        await Reconciler(database, vault, them, after).step()
        waiting = [
            callback for callback in await callbacks(database) if callback["processed_at"] is None
        ]
        return not waiting and (await row_of(database, unused))["status"] != "pending"

    await until(done)


@pytest.fixture
def died(database_arguments: dict[str, Any]) -> Iterator[Callable[[int, Moment], bool]]:
    with lives(PROGRAM, database_arguments) as found:
        yield found


def test_killed_before_every_statement(
    run: Run[Any],
    database: Database,
    died: Callable[[int, Moment], bool],
    vault: Vault,
    sandbox: int,
) -> None:
    began = START - timedelta(hours=2)
    for number in count(1):
        paid = run(make_transaction(database, vault, sandbox, at=began))
        run(open_session(database, paid, at=began, exchanged=True))
        unused = run(make_transaction(database, vault, sandbox, at=began))
        run(open_session(database, unused, at=began))
        said = ("payment captured", "delivery delivered")
        run(call_back(database, vault, sandbox, paid, *said, at=START))

        killed = died(number, "before")

        run(recovered(database, vault, unused))
        for transaction, expected in ((paid, ["processing", "completed"]), (unused, ["failed"])):
            told = [json.loads(body)["status"] for body in run(published_of(database, transaction))]
            assert told == expected, f"killed before statement {number}"
            assert run(row_of(database, transaction))["event_count"] == len(expected)
        # What was written waits to be stamped, and nothing else does.
        assert run(stamps_of(database)).problems() == []
        if not killed:
            break
    # Claiming, reading, moving, recording and publishing are statements of their own.
    assert number > 10
