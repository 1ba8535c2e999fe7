"""A worker killed between any two of its statements loses nothing and repeats nothing visible."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.support.lives import Moment, lives
from tests.support.pipeline import ORIGIN, VAULT, lost, owner, work

from proof.db import Database
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.submissions.committer import Committer

PROGRAM = "tests.db.crash.work_until_killed"
MOST_STATEMENTS = 200


@pytest.fixture
def log(run: Any, database: Database) -> None:
    run(ensure_log(database, VAULT, "production", ORIGIN))


async def submit(database: Database, count: int) -> set[bytes]:
    committer = Committer(database)
    committer.start()
    digests = [secrets.token_bytes(32) for _ in range(count)]
    await committer.commit(owner().id, owner().environment, digests)
    await committer.close()
    return set(digests)


async def published(database: Database) -> list[tuple[int, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT size, note FROM log_checkpoints ORDER BY size")
        await connection.execute(
            "INSERT INTO timestamp_settings VALUES (1, '{900}') ON CONFLICT DO NOTHING"
        )
    return [(row["size"], row["note"]) for row in rows]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.timeout(900)
def test_killed_between_any_two_statements(
    moment: Moment,
    run: Any,
    log: None,
    database: Database,
    database_arguments: dict[str, Any],
    tmp_path: Path,
) -> None:
    digests: set[bytes] = set()
    seen = run(published(database))
    kills = 0
    with lives(PROGRAM, database_arguments, str(tmp_path)) as died:
        for number in range(1, MOST_STATEMENTS):
            digests |= run(submit(database, 3))
            if not died(number, moment):
                break
            kills += 1
            run(work(database, tmp_path))
            after = run(published(database))
            assert after[: len(seen)] == seen, "a published checkpoint changed"
            seen = after
        else:
            pytest.fail("the worker never came to its end")
    # Close, seal, append and publish are four transactions of several statements each.
    assert kills > 20
    assert run(lost(database, digests)) == []
    assert run(tree_events(database)) == {
        "trees": kills + 1,
        "events": kills + 1,
        "distinct": kills + 1,
    }


async def tree_events(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM trees WHERE status = 3) AS trees,"
            " count(*) AS events, count(DISTINCT subject) AS distinct"
            " FROM outbox WHERE type = 'timestamp.tree'"
        )
    return dict(row) if row else {}
