"""Whoever changes the audit log: the application cannot, and the owner of the tables is found out."""

from typing import Any

import asyncpg
import pytest
from tests.db.audit.scene import chained, owning, verified

from proof.db import Database


@pytest.mark.parametrize("table", ["audit_log", "audit_chain", "audit_heads"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}", "DROP TABLE {0}"],
)
async def test_the_application_only_appends(database: Database, table: str, statement: str) -> None:
    await chained(database, "a")
    column = "actor" if table == "audit_log" else "position"
    connection = await database.dedicated()
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(table, column))
    finally:
        await connection.close()
    assert (await verified(database)).findings == ()


ALTERED: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "entry altered": (
        "UPDATE audit_log SET after = '{}' WHERE id = 3",
        "entry 3 at position 3 does not make its hash",
    ),
    "time altered": (
        "UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = 2",
        "entry 2 at position 2 does not make its hash",
    ),
    "before and after swapped": (
        "UPDATE audit_log SET before = after, after = before WHERE id = 4",
        "entry 4 at position 4 does not make its hash",
    ),
    "first entry altered": (
        "UPDATE audit_log SET actor = 'nobody' WHERE id = 1",
        "entry 1 at position 1 does not make its hash",
    ),
    "entry deleted": ("DELETE FROM audit_log WHERE id = 4", "entry 4 at position 4 is missing"),
    "entry deleted with its link": (
        "DELETE FROM audit_chain WHERE entry_id = 4; DELETE FROM audit_log WHERE id = 4",
        "position 4 is missing; the next is 5",
    ),
    "first deleted with its link": (
        "DELETE FROM audit_chain WHERE entry_id = 1; DELETE FROM audit_log WHERE id = 1",
        "position 1 is missing; the next is 2",
    ),
    "deleted and closed up": (
        (
            "DELETE FROM audit_chain WHERE entry_id = 4; DELETE FROM audit_log WHERE id = 4;"
            " UPDATE audit_chain SET position = position - 1 WHERE position > 4"
        ),
        "entry 5 at position 4 does not make its hash",
    ),
    "link alone deleted": (
        "DELETE FROM audit_chain WHERE position = 6",
        "entry 6 is in the log, but neither chained nor waiting to be",
    ),
    "two swapped": (
        "UPDATE audit_chain SET entry_id = 5 - entry_id WHERE entry_id IN (2, 3)",
        "entry 3 at position 2 does not make its hash",
    ),
    "hash altered": (
        "UPDATE audit_chain SET hash = sha256(hash) WHERE position = 5",
        "entry 5 at position 5 does not make its hash",
    ),
    "inserted unseen": (
        (
            "ALTER TABLE audit_log DISABLE TRIGGER USER;"
            " INSERT INTO audit_log (actor, action) VALUES ('nobody', 'partner.add')"
        ),
        "entry 7 is in the log, but neither chained nor waiting to be",
    ),
    "inserted into the middle": (
        (
            "INSERT INTO audit_log (actor, action) VALUES ('nobody', 'partner.add');"
            " UPDATE audit_chain SET position = position + 1 WHERE position > 2;"
            " INSERT INTO audit_chain VALUES (3, 7, sha256('forged')); DELETE FROM audit_unchained"
        ),
        "entry 7 at position 3 does not make its hash",
    ),
    "a position twice": (
        (
            "INSERT INTO audit_chain SELECT position, 3, sha256('forged') FROM audit_chain"
            " WHERE position = 2"
        ),
        ("position 3 is missing; the next is 2", "entry 3 at position 2 does not make its hash"),
    ),
}


@pytest.mark.parametrize("attack", ALTERED)
async def test_what_the_owner_of_the_tables_changed_is_found_and_named(
    database: Database, owner_arguments: dict[str, Any], attack: str
) -> None:
    statement, named = ALTERED[attack]

    await chained(database, *"abcdef")
    assert (await verified(database)).findings == ()
    async with owning(owner_arguments) as owner:
        await owner.execute(statement)
    found = (await verified(database)).findings
    assert found[0].startswith(named)
