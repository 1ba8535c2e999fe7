"""A worker killed between any two statements of chaining leaves no gap and no fork."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.db.audit.scene import chain, chained, verified, write

from proof.db import Database
from proof.timestamps.proofs.audit_heads import verify_log

PROGRAM = Path(__file__).with_name("chain_until_killed.py")
ROOT = Path(__file__).parents[3]
MOST_STATEMENTS = 60


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.timeout(900)
def test_killed_between_any_two_statements(
    moment: str, run: Any, database: Database, database_arguments: dict[str, Any]
) -> None:
    kills = 0
    for number in range(1, MOST_STATEMENTS):
        run(write(database, f"{number}.a", f"{number}.b"))
        ended = subprocess.run(
            [sys.executable, PROGRAM, json.dumps(database_arguments), str(number), moment],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT}/src", "PATH": ""},
            capture_output=True,
            text=True,
        )
        found = run(verified(database))
        assert found.findings == ()
        assert found.checked + found.waiting == 2 * number
        if ended.returncode == 0:
            assert ended.stdout == "done\n"
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
    else:
        pytest.fail("the worker never came to its end")
    # One look, then lock, head, entries, links and notes in a transaction; then the head's own way.
    assert kills > 10
    run(chained(database))
    assert [position for position, _ in run(chain(database))] == list(range(1, 2 * kills + 3))
    assert run(verify_log(database, [], [], lambda _: None)).findings == ()
