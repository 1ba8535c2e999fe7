"""Databases of earlier versions: what their logs hold stays, or they are refused by name."""

from hashlib import sha256
from typing import Any

import asyncpg
import pytest
from tests.support.earlier import migrate_to
from tests.support.pipeline import VAULT

from proof.db import Database
from proof.db.migrate import OldLogError, current_revision, migrate, newest_revision
from proof.partners.types import Environment
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.service import ensure_log, inclusions
from proof.timestamps.anchors.log.tree import append, reader, root
from proof.verify.evidence.log.rfc6962 import leaf_hash, root_from_inclusion

OPEN = """
INSERT INTO rounds (partner_environment_id, environment, blinding)
VALUES (1, 'production', sha256('open'))
"""
SEALED = """
INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count, root)
VALUES (1, 'production', sha256('sealed'), now(), now(), 2, sha256('root'))
"""
COLUMNS = "SELECT count(*) FROM information_schema.columns WHERE column_name LIKE 'plain%'"

ROUNDS = """
INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count,
    root, plain_root, logged)
SELECT 1, environment, sha256(n::text::bytea), now(), now(), 2,
    sha256(('root ' || n || environment)::bytea), sha256(('plain ' || n || environment)::bytea), true
FROM generate_series(1, $1) n, unnest('{sandbox,production}'::text[]) environment
"""
ENTRIES = """
INSERT INTO log_entries (environment, position, round_id, root, plain_root)
SELECT environment, row_number() OVER (PARTITION BY environment ORDER BY id) - 1, id, root, plain_root
FROM rounds
"""
TREE = """
INSERT INTO trees (id, environment, currency_id, closed_at, root, plain_root, leaf_count,
    checkpoint_size)
VALUES (gen_random_uuid(), 'sandbox', 0, now(), sha256('t'), sha256('p'), 2, $1)
"""


def test_a_folder_of_the_old_form_is_refused_and_left_as_it_was(
    run: Any, owner_arguments: dict[str, Any]
) -> None:
    async def scene() -> None:
        await migrate_to(owner_arguments, "0018")
        connection = await asyncpg.connect(**owner_arguments)
        try:
            await connection.execute(OPEN)
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


async def fill(connection: Any, count: int) -> None:
    """Both logs of an installation whose tables name environments, with a checkpoint that a tree pins."""
    await connection.execute(ROUNDS, count)
    await connection.execute(ENTRIES)
    for environment in Environment:
        entries = await connection.fetch(
            "SELECT root || plain_root FROM log_entries WHERE environment = $1 ORDER BY position",
            environment,
        )
        tiles = append(0, {}, [leaf_hash(entry[0]) for entry in entries])
        origin = f"test.example/{environment}"
        await connection.execute(
            "INSERT INTO log_heads VALUES ($1, $2, $3, $4)",
            environment,
            origin,
            count,
            root(count, reader(tiles)),
        )
        for name, hashes in tiles.items():
            await connection.execute(
                "INSERT INTO log_tiles VALUES ($1, $2, $3, $4)", environment, *name, hashes
            )
        for role in ("log", "cosigner"):
            identity = f"{role} key of the {environment} log"
            await connection.execute(
                "INSERT INTO log_keys (environment, role, name, public_key, sealed)"
                " VALUES ($1, $2, $3, sha256('public'), $4)",
                environment,
                role,
                origin,
                VAULT.seal(sha256(identity.encode()).digest(), identity),
            )
        await connection.execute(
            "INSERT INTO log_checkpoints VALUES ($1, $2, 'note', now())", environment, count
        )
    await connection.execute(TREE, count)


def test_logs_that_environments_named_go_on_as_they_are(
    run: Any, owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    async def scene() -> None:
        await migrate_to(owner_arguments, "0019")
        connection = await asyncpg.connect(**owner_arguments)
        try:
            await fill(connection, 300)
        finally:
            await connection.close()
        await migrate(owner_arguments, database_arguments["user"])
        database = await Database.open(database_arguments)
        try:
            for environment in Environment:
                await ensure_log(database, VAULT, environment, "another.example")
                await require_continued(database, environment)
            async with database.connection() as connection:
                pinned = "SELECT label FROM trees JOIN logs ON logs.id = checkpoint_log_id"
                assert await connection.fetchval(pinned) == "sandbox"
                assert len(await queries.logs(connection)) == 2
        finally:
            await database.close()

    run(scene())


async def require_continued(database: Database, environment: str) -> None:
    async with database.connection() as connection:
        head = await queries.head(connection, environment)
        entries = await queries.entries(connection, head.log_id, 0, 400)
        newest = await queries.newest_checkpoint(connection, head.log_id)
        signer = await keys.signer(connection, VAULT, head.log_id)
        path = (await inclusions(connection, head.log_id, [(299, 300)]))[299, 300]
    assert (head.label, head.origin, head.size) == (environment, f"test.example/{environment}", 300)
    assert len(entries) == 300
    assert root_from_inclusion(299, 300, leaf_hash(entries[299]), path) == head.root
    assert (newest["size"], newest["note"]) == (300, "note")
    for role, key in (("log", signer.log), ("cosigner", signer.cosigners[0])):
        identity = f"{role} key of the {environment} log"
        assert key.seed == sha256(identity.encode()).digest()
