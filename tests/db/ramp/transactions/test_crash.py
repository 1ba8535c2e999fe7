"""Killed before any of its statements, a worker loses no callback and applies none twice."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from subprocess import PIPE
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
from tests.support.ramp import make_transaction, published_of, row_of

from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.reconciler import LEASE, Reconciler

ROOT = Path(__file__).parents[4]


@contextmanager
def lives(arguments: dict[str, Any]) -> Iterator[Callable[[int], bool]]:
    """Whether the life that ends before its statement of a number ended there; it was done otherwise."""
    command = [sys.executable, "-m", "tests.db.ramp.transactions.work_until_killed"]
    with subprocess.Popen(
        [*command, json.dumps(arguments)], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None

        def died(number: int) -> bool:
            print(number, file=started.stdin, flush=True)
            code = int(started.stdout.readline())  # type: ignore[union-attr]
            assert code in {0, -signal.SIGKILL}
            return code != 0

        yield died


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
def killed(database_arguments: dict[str, Any]) -> Iterator[Callable[[int], bool]]:
    with lives(database_arguments) as died:
        yield died


def test_killed_before_every_statement(
    run: Run[Any],
    database: Database,
    killed: Callable[[int], bool],
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

        died = killed(number)

        run(recovered(database, vault, unused))
        for transaction, expected in ((paid, ["processing", "completed"]), (unused, ["failed"])):
            told = [json.loads(body)["status"] for body in run(published_of(database, transaction))]
            assert told == expected, f"killed before statement {number}"
            assert run(row_of(database, transaction))["event_count"] == len(expected)
        if not died:
            break
    # Claiming, reading, moving, recording and publishing are statements of their own.
    assert number > 10
