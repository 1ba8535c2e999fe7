"""Refusals: who was turned away, counted; and an attacker cannot fill the table."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from tests.db.partners.processes import (
    API_KEY,
    CLIENT_TOKEN,
    PRODUCTION,
    SANDBOX,
    Process,
    identity,
)
from tests.db.webhooks.scene import FaultyDatabase, TurnedClock
from tests.support.application import Platform, Stage
from tests.support.partners import issued, onboard, suspend

from proof.core.errors import CallerError, DatabaseUnavailableError
from proof.partners.refusals import (
    ADDRESSES_A_MINUTE,
    PRUNE_BATCH,
    Reason,
    Refusal,
    Refusals,
    list_refusals,
    prune,
)
from proof.partners.tokens import new_token
from proof.partners.types import Environment

Run = Callable[[Any], Any]
ELSEWHERE = "198.51.100.7"


async def refused(process: Process, *args: Any, **options: Any) -> None:
    with pytest.raises(CallerError):
        await process.enter(*args, **options)


async def listed(platform: Platform, since: datetime, partner_id: str | None) -> list[Refusal]:
    async with platform.database.connection() as connection:
        return await list_refusals(connection, since, partner_id, 100)


def test_every_reason_is_seen_by_the_operator(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
        process, one = Process(platform.database, clock), issued(partner)
        for _ in range(3):
            await refused(process, one.client_token, CLIENT_TOKEN, ELSEWHERE)
        await refused(process, one.client_token, API_KEY)
        await refused(process, one.api_key, API_KEY, environment=SANDBOX)
        await suspend(platform.database, partner)
        await refused(process, one.api_key, API_KEY, "2001:db8:1:2:3:4:5:6")
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

    run(scene())


def test_unknown_tokens_write_nothing(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        process = Process(platform.database, TurnedClock())
        (before,) = await platform.fetch("SELECT count(*) FROM refusals")
        for token in (None, "", "secret", new_token(PRODUCTION).text):
            await refused(process, token)
        await process.write()
        assert await platform.fetch("SELECT count(*) FROM refusals") == [before]

    run(scene())


def test_several_processes_and_minutes_add_up(run: Run, platform: Platform) -> None:
    async def scene() -> None:
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

    run(scene())


def test_ever_new_addresses_are_counted_together_beyond_the_bound(
    run: Run, platform: Platform
) -> None:
    async def scene() -> None:
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

    run(scene())


def test_one_partners_flood_does_not_hide_another_partners_address(
    run: Run, platform: Platform
) -> None:
    async def scene() -> None:
        noisy, quiet = [await onboard(platform.database, platform.vault) for _ in range(2)]
        refusals, now = Refusals(platform.database), datetime(2026, 11, 21, 11, tzinfo=UTC)
        for number in range(ADDRESSES_A_MINUTE * 2):
            address = ip_address(f"198.51.100.{number}")
            refusals.note(identity(noisy), API_KEY, Reason.ADDRESS, address, now)
        refusals.note(identity(quiet), API_KEY, Reason.ADDRESS, ip_address(ELSEWHERE), now)
        await refusals.flush()
        (found,) = await listed(platform, now, quiet.partner_id)
        assert found.network == ip_network(f"{ELSEWHERE}/32")

    run(scene())


def test_what_could_not_be_written_is_kept(run: Run, platform: Platform) -> None:
    async def scene() -> None:
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

    run(scene())


def test_old_refusals_are_deleted_in_batches_and_newer_ones_stay(alone: Stage) -> None:
    platform, kept, now = alone.platform, timedelta(days=30), datetime(2026, 11, 21, tzinfo=UTC)

    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        async with platform.database.connection() as connection:
            await connection.execute(
                "INSERT INTO refusals SELECT $1, $2::timestamptz - n * interval '1 minute', 'api_key',"
                " 'ip_not_allowed', NULL, 1, $2 FROM generate_series(-9, $3) AS n",
                identity(partner),
                now - kept,
                PRUNE_BATCH + 10,
            )
        assert await prune(platform.database, now, kept)
        assert not await prune(platform.database, now, kept)
        (left,) = await platform.fetch("SELECT count(*), min(minute) FROM refusals")
        assert tuple(left) == (10, now - kept)

    alone.run(scene())


def test_environments_are_told_apart(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
        process = Process(platform.database, clock)
        await refused(
            process, issued(partner, SANDBOX).client_token, CLIENT_TOKEN, environment=SANDBOX
        )
        await process.write()
        (found,) = await listed(platform, clock.now(), partner.partner_id)
        assert (found.environment, found.reason) == (Environment.SANDBOX, Reason.ADDRESS)

    run(scene())
