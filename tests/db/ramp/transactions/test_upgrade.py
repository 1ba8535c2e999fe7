"""What an upgrade makes of the events of transactions that were there before chains began with openings."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
from tests.support.earlier import migrate_to

from proof.db.migrate import migrate

RECORD = b'{"version":2}'


async def test_an_upgrade_pins_every_chain_and_has_its_records_stamped(
    owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    moved, waiting = uuid4(), uuid4()
    await migrate_to(owner_arguments, "0021")
    connection = await asyncpg.connect(**owner_arguments)
    try:
        for made, count, sha256 in (
            (moved, 2, hashlib.sha256(RECORD).digest()),
            (waiting, 0, None),
        ):
            await connection.execute(
                "INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency,"
                " network, crypto_amount, created_at, updated_at, event_count, event_sha256)"
                " VALUES ($1, 1, 1, 'buy', 'USDT', 'TRC20', 1, now(), now(), $2, $3)",
                made,
                count,
                sha256,
            )
            await connection.execute(
                "INSERT INTO ramp_events SELECT $1, n, gen_random_uuid(), $2"
                " FROM generate_series(1, $3::integer) n",
                made,
                RECORD,
                count,
            )
        await migrate(owner_arguments, database_arguments["user"])
        rows = await connection.fetch(
            "SELECT id, chain_length, chain_sha256 FROM ramp_transactions"
            " WHERE chain_length = event_count AND chain_sha256 IS NOT DISTINCT FROM event_sha256"
        )
        assert {row["id"]: row["chain_length"] for row in rows} == {moved: 2, waiting: 0}
        records = await connection.fetch("SELECT * FROM ramp_records ORDER BY sequence")
        assert [tuple(row) for row in records] == [
            (moved, sequence, RECORD, "transaction.status") for sequence in (1, 2)
        ]
        queued = await connection.fetch(
            "SELECT transaction_id, sequence FROM ramp_unstamped ORDER BY sequence"
        )
        assert [tuple(row) for row in queued] == [(moved, 1), (moved, 2)]
    finally:
        await connection.close()


async def test_an_upgrade_knows_when_an_end_was_confirmed(
    owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    """The next record is dated no earlier; what a change of status pinned needs nothing more."""
    confirmed, moved = uuid4(), uuid4()
    record = b'{"recorded_at":"2026-05-04T03:04:01.5Z"}'
    await migrate_to(owner_arguments, "0026")
    connection = await asyncpg.connect(**owner_arguments)
    try:
        for made, kind in ((confirmed, "operator.resolution"), (moved, "transaction.status")):
            await connection.execute(
                "INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency,"
                " network, crypto_amount, created_at, updated_at, chain_length, chain_sha256)"
                " VALUES ($1, 1, 1, 'buy', 'USDT', 'TRC20', 1, now(), now(), 1, sha256($2))",
                made,
                record,
            )
            await connection.execute(
                "INSERT INTO ramp_records VALUES ($1, 1, $2, $3)", made, record, kind
            )
        await migrate(owner_arguments, database_arguments["user"])
        rows = await connection.fetch("SELECT id, chain_recorded_at FROM ramp_transactions")
        at = datetime(2026, 5, 4, 3, 4, 1, 500_000, tzinfo=UTC)
        assert {row["id"]: row["chain_recorded_at"] for row in rows} == {confirmed: at, moved: None}
    finally:
        await connection.close()
