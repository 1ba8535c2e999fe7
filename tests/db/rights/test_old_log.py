"""A data folder from before the plain roots: refused by name once its log holds anything."""

from typing import Any

import asyncpg
import pytest

from proof.db.migrate import OldLogError, current_revision, migrate, newest_revision

BEFORE = """
ALTER TABLE rounds DROP COLUMN plain_root;
ALTER TABLE trees DROP COLUMN plain_root;
ALTER TABLE round_tiles DROP COLUMN plain;
ALTER TABLE tree_tiles DROP COLUMN plain;
ALTER TABLE log_entries DROP COLUMN plain_root;
INSERT INTO rounds (partner_environment_id, environment, blinding)
VALUES (1, 'production', sha256('open'));
UPDATE alembic_version SET version_num = '0018'
"""
SEALED = """
INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count, root)
VALUES (1, 'production', sha256('sealed'), now(), now(), 2, sha256('root'))
"""
COLUMNS = "SELECT count(*) FROM information_schema.columns WHERE column_name LIKE 'plain%'"


def test_a_folder_of_the_old_form_is_refused_and_left_as_it_was(
    run: Any, owner_arguments: dict[str, Any]
) -> None:
    async def scene() -> None:
        connection = await asyncpg.connect(**owner_arguments)
        try:
            await connection.execute(BEFORE)
            await connection.execute(SEALED)
            with pytest.raises(OldLogError) as refused:
                await migrate(owner_arguments, owner_arguments["user"])
            assert "this data folder is of the old form" in refused.value.message
            assert "start this one with a new data folder" in refused.value.message
            assert await current_revision(connection) == "0018"
            assert await connection.fetchval(COLUMNS) == 0
            await connection.execute("DELETE FROM rounds WHERE sealed_at IS NOT NULL")
            await migrate(owner_arguments, owner_arguments["user"])
            assert await current_revision(connection) == newest_revision()
            assert await connection.fetchval(COLUMNS) == 5
        finally:
            await connection.close()

    run(scene())
