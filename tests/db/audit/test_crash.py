"""A worker killed between any two statements of chaining and stamping leaves no gap and no fork."""

from typing import Any

import pytest
from tests.db.audit.scene import chain, chained, noted, verified, write
from tests.support.lives import Moment, lives

from proof.core.clock import SystemClock
from proof.db import Database
from proof.timestamps.proofs.audit_heads import HeadSubmitter, verify_log

PROGRAM = "tests.db.audit.chain_until_killed"
MOST_STATEMENTS = 60


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.timeout(900)
def test_killed_between_any_two_statements(
    moment: Moment, run: Any, database: Database, database_arguments: dict[str, Any]
) -> None:
    kills = 0
    with lives(PROGRAM, database_arguments) as died:
        for number in range(1, MOST_STATEMENTS):
            run(write(database, f"{number}.a", f"{number}.b"))
            killed = died(number, moment)
            found = run(verified(database))
            assert found.findings == ()
            assert found.checked + found.waiting == 2 * number
            if not killed:
                break
            kills += 1
        else:
            pytest.fail("the worker never came to its end")
    # One look, then lock, head, entries, links and notes in a transaction; then the head's own way.
    assert kills > 10
    run(chained(database))
    assert [position for position, _ in run(chain(database))] == list(range(1, 2 * kills + 3))
    run(HeadSubmitter(database, SystemClock()).step())
    report = run(verify_log(database, [], None, lambda _: None))
    # Every position was submitted, and none twice: each kill left the next life two entries more.
    assert (report.findings, report.heads) == ((), 2 * kills + 2)
    assert run(noted(database)) == report.heads
