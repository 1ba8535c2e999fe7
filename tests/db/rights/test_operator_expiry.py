"""Operators' tokens that were issued before tokens had an end."""

import importlib
from datetime import timedelta
from typing import Any

import asyncpg

MIGRATION = "proof.db.migrations.versions.0018_operator_expiry"
BEFORE = """
ALTER TABLE operators DROP COLUMN expires_at, DROP COLUMN networks;
INSERT INTO operators (key_id, name, scope, token_sha256, created_at)
VALUES ('old', 'Old', 'read', sha256('old'), now() - interval '3 years')
"""


async def test_an_upgrade_gives_them_a_year_from_its_day_and_any_address(
    owner_arguments: dict[str, Any],
) -> None:
    connection = await asyncpg.connect(**owner_arguments)
    try:
        await connection.execute(BEFORE)
        async with connection.transaction():
            for statement in importlib.import_module(MIGRATION).STATEMENTS:
                await connection.execute(statement)
            upgraded, row = (
                await connection.fetchval("SELECT now()"),
                await connection.fetchrow("SELECT expires_at, networks FROM operators"),
            )
    finally:
        await connection.close()
    assert row["expires_at"] - upgraded == timedelta(days=365)
    assert row["networks"] == []
