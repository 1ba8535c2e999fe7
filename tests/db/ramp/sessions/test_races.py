"""Sessions opened, and widgets, while something else happens to their user or transaction."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.sessions import BODY, EMAIL, open_session, ramp_partner

from proof.partners.audit import Actor
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.providers.accounts import account_of
from proof.ramp.sessions import widget_queries
from proof.ramp.transactions.erasure import erase_user
from proof.webhooks.pruning import forget_replies

NOW = datetime.now(UTC)

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_PERSON = """
SELECT partner_user_id, erased_at FROM ramp_users JOIN ramp_transactions t ON user_id = ramp_users.id
WHERE t.id = $1
"""


async def test_a_session_opened_during_an_erasure_is_a_new_users(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    await open_session(platform, shop)
    user = (shop.partner.partner_id, BODY["partner_user_id"])

    async def waits() -> bool:
        return bool((await platform.fetch(_WAITING))[0][0])

    async with platform.database.transaction() as tx:
        await erase_user(tx, platform.vault, *user, Actor("cli"), NOW, forget_replies)
        opening = asyncio.create_task(open_session(platform, shop))
        await until(waits)
    answer = await opening
    assert answer.status == 200
    made = UUID(answer.json["merchant_transaction_id"])
    (person,) = await platform.fetch(_PERSON, made)
    assert (person["partner_user_id"], person["erased_at"]) == (user[1], None)

    async with platform.database.connection() as connection:
        known = await personal.read(connection, platform.vault, made)
    assert known[Kind.EMAIL] == EMAIL
    async with platform.database.transaction() as tx:
        await erase_user(tx, platform.vault, *user, Actor("cli"), NOW, forget_replies)
        assert await personal.read(tx, platform.vault, made) == {}


async def test_a_transaction_that_ended_while_its_widget_was_opened_gets_no_session(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    answer = await open_session(platform, shop)
    made = UUID(answer.json["merchant_transaction_id"])
    (row,) = await platform.fetch(
        "UPDATE ramp_transactions t SET status = 'failed' FROM ramp_sessions s"
        " WHERE t.id = $1 AND s.transaction_id = t.id RETURNING s.id, partner_environment_id",
        made,
    )
    async with platform.database.connection() as connection:
        found = await account_of(connection, platform.vault, row["partner_environment_id"])
        assert found is not None
        ends_at = NOW + timedelta(hours=24)
        exchanged = await widget_queries.exchange(
            connection, row["id"], NOW, bytes(32), ends_at, None, found.id
        )
    assert not exchanged
    (after,) = await platform.fetch(
        "SELECT exchanged_at FROM ramp_sessions WHERE transaction_id = $1", made
    )
    assert after["exchanged_at"] is None
