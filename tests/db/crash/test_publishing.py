"""A publisher killed between any two of its statements: nothing is published without the quorum, and
nothing is lost."""

from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_witness import fake_witness
from tests.support.lives import Moment, lives
from tests.support.pipeline import ORIGIN, VAULT

from proof.db import Database
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import public_keys
from proof.timestamps.anchors.log.service import ensure_log, root_at
from proof.verify import verify_checkpoint
from proof.verify.evidence.log.note import COSIGNER_KEY, VerifierKey
from proof.verify.evidence.log.policy import parse_policy

PROGRAM = "tests.db.crash.publish_until_killed"
MOST_STATEMENTS = 200
ROUND = (
    "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count,"
    " root, plain_root) VALUES (1, 'production', $1, now(), now(), 2, $1, sha256($1))"
)


async def log_key(database: Database) -> VerifierKey:
    await ensure_log(database, VAULT, "production", ORIGIN)
    async with database.connection() as connection:
        log = await queries.head(connection, "production")
        return (await public_keys(connection, log.log_id))[0]


async def sealed_round(database: Database, number: int) -> None:
    async with database.transaction() as tx:
        await tx.execute(ROUND, sha256(b"%d" % number).digest())
        # Whoever was killed keeps the lease until its time is over.
        await tx.execute("UPDATE log_publishers SET until = now()")


async def published(database: Database, key: VerifierKey, policy: bytes) -> dict[int, str]:
    """Each checkpoint's note by its size; every one has the quorum and is of the log's own entries."""
    trusted = parse_policy(policy).with_logs([key])
    async with database.connection() as connection:
        log = await queries.head(connection, "production")
        found = {}
        for row in await connection.fetch("SELECT size, note FROM log_checkpoints"):
            checkpoint = verify_checkpoint(row["note"].encode(), trusted)
            assert checkpoint.log_key == key
            assert checkpoint.quorum_reached
            assert checkpoint.root == await root_at(connection, log.log_id, row["size"])
            found[row["size"]] = row["note"]
        return found


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.timeout(900)
def test_killed_between_any_two_statements(
    moment: Moment,
    run: Callable[[Any], Any],
    database: Database,
    database_arguments: dict[str, Any],
    tmp_path: Path,
) -> None:
    key = run(log_key(database))
    with ExitStack() as stack:
        witnesses = [
            stack.enter_context(fake_witness(f"w{n}.example", key, (COSIGNER_KEY,)))
            for n in range(3)
        ]
        lines = "".join(each.lines(f"w{n}") for n, each in enumerate(witnesses))
        policy = f"{lines}group three 2 w0 w1 w2\nquorum three\n"
        died = stack.enter_context(lives(PROGRAM, database_arguments, str(tmp_path), policy))
        seen: dict[int, str] = {}
        for number in range(1, MOST_STATEMENTS):
            run(sealed_round(database, number))
            if not died(number, moment):
                break
            after = run(published(database, key, policy.encode()))
            assert seen.items() <= after.items(), "a published checkpoint changed"
            seen = after
        else:
            pytest.fail("the publisher never came to its end")
        final = run(published(database, key, policy.encode()))
    assert number > 20
    assert max(final) == number, "every round is in a published checkpoint"
