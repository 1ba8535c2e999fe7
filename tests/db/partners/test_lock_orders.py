"""What several processes write at once is locked in one order, or they would wait for each other."""

from datetime import UTC, datetime
from ipaddress import ip_address

from tests.support.locking import IN_STORED_ORDER, takes_in_order
from tests.support.partners import onboard

from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.access import uses

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


async def key_ids(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT key_id FROM credentials ORDER BY key_id")
    return [row["key_id"] for row in rows]


async def test_uses_are_written_in_the_order_of_their_keys(
    database: Database, vault: Vault
) -> None:
    async def write(keys: list[str]) -> None:
        use = uses._Use(MOMENT, MOMENT, ip_address("203.0.113.7"))
        async with database.transaction() as tx:
            await uses._write(tx, dict.fromkeys(keys, use))

    await onboard(database, vault)
    low, high, *_ = await key_ids(database)
    hold = (
        "INSERT INTO credential_uses (key_id, first_used_at, last_used_at, last_address)"
        " VALUES (($1::text[])[{}], now(), now(), '203.0.113.7')"
    )
    async with database.connection() as holder:
        act = write([high, low])
        await takes_in_order(act, holder, hold.format(1), hold.format(2), [low, high])


async def test_partners_are_locked_in_the_order_of_their_ids(
    database: Database, vault: Vault
) -> None:
    async def start_grace(keys: list[str]) -> None:
        async with database.transaction() as tx:
            await tx.execute(IN_STORED_ORDER)
            await uses._start_grace(tx, keys)

    made = [(await onboard(database, vault)).partner_id for _ in range(2)]
    while made[-1] > made[0]:
        made.append((await onboard(database, vault)).partner_id)
    hold = "SELECT FROM partners WHERE id = ($1::text[])[{}] FOR UPDATE"
    async with database.connection() as holder:
        act = start_grace(await key_ids(database))
        held = [made[-1], made[0]]
        await takes_in_order(act, holder, hold.format(1), hold.format(2), held)
