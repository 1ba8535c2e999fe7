"""Refusals: who was turned away, counted; and an attacker cannot fill the table."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from tests.db.partners.processes import (
    API_KEY,
    CLIENT_TOKEN,
    OPERATOR,
    PRODUCTION,
    SANDBOX,
    Process,
    identity,
    key_id,
)
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform, Stage
from tests.support.databases import FaultyDatabase
from tests.support.partners import issued, onboard, suspend

from proof.core.errors import CallerError, DatabaseUnavailableError, NotFoundError
from proof.core.ids import checksum
from proof.partners.access.refusals import (
    ADDRESSES_A_MINUTE,
    Reason,
    Refusal,
    Refusals,
    keep_weeks,
    list_refusals,
)
from proof.partners.access.rotation import revoke
from proof.partners.access.tokens import new_token
from proof.partners.errors import InvalidTokenError
from proof.partners.types import Environment

ELSEWHERE = "198.51.100.7"


async def refused(process: Process, *args: Any, **options: Any) -> None:
    with pytest.raises(CallerError):
        await process.enter(*args, **options)


async def listed(platform: Platform, since: datetime, partner_id: str | None) -> list[Refusal]:
    async with platform.database.connection() as connection:
        return await list_refusals(connection, since, partner_id, 100)


async def test_every_reason_is_seen_by_the_operator(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process, item = Process(platform.database, clock), issued(partner)
    for _ in range(3):
        await refused(process, item.client_token, CLIENT_TOKEN, ELSEWHERE)
    await refused(process, item.client_token, API_KEY)
    await refused(process, item.api_key, API_KEY, environment=SANDBOX)
    await suspend(platform.database, partner)
    await refused(process, item.api_key, API_KEY, "2001:db8:1:2:3:4:5:6")
    await process.write()
    found = await listed(platform, clock.now(), partner.partner_id)
    seen = {(each.reason, each.kind, str(each.network), each.count) for each in found}
    assert seen == {
        (Reason.ADDRESS, CLIENT_TOKEN, f"{ELSEWHERE}/32", 3),
        (Reason.KIND, CLIENT_TOKEN, "203.0.113.9/32", 1),
        (Reason.ENVIRONMENT, API_KEY, "203.0.113.9/32", 1),
        (Reason.SUSPENDED, API_KEY, "2001:db8:1:2::/64", 1),
    }
    assert {(each.partner_id, each.name, each.environment) for each in found} == {
        (partner.partner_id, "Acme", PRODUCTION)
    }
    assert {each.last_at for each in found} == {clock.now()}


async def test_unknown_tokens_write_nothing(platform: Platform) -> None:
    process = Process(platform.database, TurnedClock())
    (before,) = await platform.fetch("SELECT count(*) FROM refusals")
    for token in (None, "", "secret", new_token(PRODUCTION).text):
        await refused(process, token)
    await process.write()
    assert await platform.fetch("SELECT count(*) FROM refusals") == [before]


async def test_several_processes_and_minutes_add_up(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    processes = [Process(platform.database, clock) for _ in range(2)]
    token, start = issued(partner).client_token, clock.now()
    for _ in range(2):
        for process in processes:
            await refused(process, token, CLIENT_TOKEN, ELSEWHERE)
            await process.write()
        clock.turn(60)
    (found,) = await listed(platform, start, partner.partner_id)
    assert (found.count, found.last_at) == (4, start + timedelta(seconds=60))
    (later,) = await listed(platform, start + timedelta(seconds=60), partner.partner_id)
    assert later.count == 2
    assert await listed(platform, start + timedelta(hours=1), partner.partner_id) == []


async def test_ever_new_addresses_are_counted_together_beyond_the_bound(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    refusals, now = Refusals(platform.database), datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
    owner, first = identity(partner), int(IPv6Address("2001:db8::"))
    calls = 5_000
    for number in range(calls):
        address = IPv6Address(first + (number << 64))
        refusals.note(owner, CLIENT_TOKEN, Reason.ADDRESS, address, now)
    assert len(refusals._counted) == ADDRESSES_A_MINUTE + 1
    await refusals.flush()
    # What was flushed still counts against the bound of its minute.
    for number in range(calls, 2 * calls):
        address = IPv6Address(first + (number << 64))
        refusals.note(owner, CLIENT_TOKEN, Reason.ADDRESS, address, now)
    await refusals.flush()
    rows = await platform.fetch(
        "SELECT network, count FROM refusals WHERE partner_environment_id = $1", owner
    )
    assert len(rows) == ADDRESSES_A_MINUTE + 1
    assert sum(row["count"] for row in rows) == 2 * calls
    (others,) = [row["count"] for row in rows if row["network"] is None]
    assert others == 2 * calls - ADDRESSES_A_MINUTE


async def test_one_partners_flood_does_not_hide_another_partners_address(
    platform: Platform,
) -> None:
    noisy, quiet = [await onboard(platform.database, platform.vault) for _ in range(2)]
    refusals, now = Refusals(platform.database), datetime(2026, 11, 21, 11, tzinfo=UTC)
    for number in range(ADDRESSES_A_MINUTE * 2):
        address = ip_address(f"198.51.100.{number}")
        refusals.note(identity(noisy), API_KEY, Reason.ADDRESS, address, now)
    refusals.note(identity(quiet), API_KEY, Reason.ADDRESS, ip_address(ELSEWHERE), now)
    await refusals.flush()
    (found,) = await listed(platform, now, quiet.partner_id)
    assert found.network == ip_network(f"{ELSEWHERE}/32")


async def test_what_could_not_be_written_is_kept(platform: Platform) -> None:
    partner, away = await onboard(platform.database, platform.vault), True
    database = FaultyDatabase(platform.database, lambda: False if away else None)
    refusals, now = Refusals(database), datetime(2026, 11, 21, 12, tzinfo=UTC)
    address = ip_address(ELSEWHERE)
    refusals.note(identity(partner), API_KEY, Reason.ADDRESS, address, now)
    with pytest.raises(DatabaseUnavailableError):
        await refusals.flush()
    refusals.note(identity(partner), API_KEY, Reason.ADDRESS, address, now)
    away = False
    await refusals.flush()
    await refusals.flush()
    (found,) = await listed(platform, now, partner.partner_id)
    assert found.count == 2


def test_weeks_past_their_time_are_dropped_and_those_to_come_are_made(alone: Stage) -> None:
    platform, kept, now = alone.platform, timedelta(days=30), datetime.now(UTC)

    async def weeks() -> list[str]:
        rows = await platform.fetch(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'refusals'::regclass ORDER BY 1"
        )
        return [row["relname"] for row in rows]

    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        async with platform.database.connection() as connection:
            await connection.execute(
                "INSERT INTO refusals SELECT $1, $2::timestamptz - n * interval '1 day', 'api_key',"
                " 'ip_not_allowed', NULL, NULL, 1, $2 FROM generate_series(-9, 99) AS n",
                identity(partner),
                now,
            )
        before = await weeks()
        # What no week was made for went to the default partition, and now moves or goes.
        assert await keep_weeks(platform.database, now, kept) > 0
        assert await platform.fetch("SELECT FROM refusals_other") == []
        (left,) = await platform.fetch("SELECT count(*), min(minute) FROM refusals")
        assert now - kept - timedelta(days=7) < left["min"] <= now - kept
        assert left["count"] == 10 + (now - left["min"]).days
        assert len(await weeks()) > len(before)
        assert await keep_weeks(platform.database, now, kept) == 0
        made = {*await weeks()}
        await keep_weeks(platform.database, now + timedelta(days=21), kept)
        assert len({*await weeks()} - made) == 3
        assert await keep_weeks(platform.database, now, timedelta(0)) > 0
        (left,) = await platform.fetch("SELECT min(minute) FROM refusals")
        assert left["min"] > now - timedelta(days=7)

    alone.run(scene())


def test_the_application_cannot_drop_what_is_newer_than_now(alone: Stage) -> None:
    async def scene() -> None:
        platform, now = alone.platform, datetime.now(UTC)
        partner = await onboard(platform.database, platform.vault)
        refusals = Refusals(platform.database)
        refusals.note(identity(partner), API_KEY, Reason.RATE, ip_address(ELSEWHERE), now)
        await refusals.flush()
        await keep_weeks(platform.database, now + timedelta(days=3650), timedelta(0))
        assert len(await listed(platform, now, partner.partner_id)) == 1

    alone.run(scene())


@pytest.mark.parametrize("how", ["revoked", "expired", "expired meanwhile"])
async def test_who_still_presents_a_token_that_is_over_is_seen_and_told_nothing(
    platform: Platform, how: str
) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process, token = Process(platform.database, clock), issued(partner).api_key
    await process.enter(token)
    async with platform.database.transaction() as tx:
        if how == "revoked":
            await revoke(tx, key_id(token), OPERATOR, clock.now())
        else:
            at = clock.now() + timedelta(seconds=60 if how == "expired meanwhile" else -60)
            await tx.execute(
                "UPDATE credentials SET expires_at = $2 WHERE key_id = $1", key_id(token), at
            )
    if how == "expired meanwhile":
        await process.enter(token)
    clock.turn(90)
    with pytest.raises(InvalidTokenError) as over:
        await process.enter(token, address=ELSEWHERE)
    with pytest.raises(InvalidTokenError) as unknown:
        await process.enter(new_token(PRODUCTION).text, address=ELSEWHERE)
    # Its key id with another secret was never a token.
    with pytest.raises(InvalidTokenError):
        await process.enter(_with_another_secret(token), address=ELSEWHERE)
    assert str(over.value) == str(unknown.value)
    await process.write()
    (found,) = await listed(platform, clock.now(), partner.partner_id)
    assert found.reason is (Reason.REVOKED if how == "revoked" else Reason.EXPIRED)
    assert (found.key_id, found.kind, found.count) == (key_id(token), API_KEY, 1)
    assert str(found.network) == f"{ELSEWHERE}/32"


def _with_another_secret(token: str) -> str:
    head = "_".join([*token.split("_")[:3], new_token(PRODUCTION).text.split("_")[3]])
    return f"{head}_{checksum(head)}"


async def test_a_partner_that_is_not_there_has_no_refusals_but_an_error(platform: Platform) -> None:
    with pytest.raises(NotFoundError, match="there is no partner 'ptr_none'"):
        await listed(platform, datetime.now(UTC), "ptr_none")


async def test_environments_are_told_apart(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process = Process(platform.database, clock)
    await refused(process, issued(partner, SANDBOX).client_token, CLIENT_TOKEN, environment=SANDBOX)
    await process.write()
    (found,) = await listed(platform, clock.now(), partner.partner_id)
    assert (found.environment, found.reason) == (Environment.SANDBOX, Reason.ADDRESS)
