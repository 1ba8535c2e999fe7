"""A new token in the place of an old one: who may still call with which, and until when."""

import json
from datetime import timedelta

import pytest
from tests.db.partners.processes import (
    API_KEY,
    CALLER,
    CLIENT_TOKEN,
    OPERATOR,
    PRODUCTION,
    SANDBOX,
    Process,
    deadline,
    key_id,
    rotated,
)
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform
from tests.support.databases import FaultyDatabase
from tests.support.partners import issued, onboard

from proof.core.errors import DatabaseUnavailableError, InvalidInputError, NotFoundError
from proof.partners.access.rotation import LONGEST, list_credentials, revoke, rotate
from proof.partners.errors import AddressNotAllowedError, InvalidTokenError

DAY = timedelta(hours=24)


async def test_the_old_token_goes_on_until_the_grace_after_the_first_use_of_the_new(
    platform: Platform,
) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    old, start = issued(partner).api_key, clock.now()
    process = Process(platform.database, clock)
    new = await rotated(platform, partner, start)
    assert new.ending == {key_id(old): start + LONGEST}
    credential, _ = await process.enter(old)
    assert (credential.deprecated_at, credential.expires_at) == (start, start + LONGEST)
    clock.turn(3600)
    credential, _ = await process.enter(new.token)
    assert (credential.deprecated_at, credential.expires_at) == (None, None)
    await process.write()
    assert await deadline(platform, old) == start + timedelta(hours=1) + DAY
    # Only the first use counts.
    clock.turn(3600)
    await process.enter(new.token)
    await process.write()
    clock.turn(DAY.total_seconds() - 3601)
    await process.enter(old)
    clock.turn(1)
    with pytest.raises(InvalidTokenError):
        await process.enter(old)
    await process.enter(new.token)


async def test_an_unused_new_token_ends_the_old_one_after_seven_days(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    old, process = issued(partner).api_key, Process(platform.database, clock)
    await rotated(platform, partner, clock.now())
    clock.turn(LONGEST.total_seconds() - 1)
    await process.enter(old)
    clock.turn(1)
    with pytest.raises(InvalidTokenError):
        await process.enter(old)


async def test_a_first_use_late_in_the_week_does_not_move_the_end(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    start, process = clock.now(), Process(platform.database, clock)
    new = await rotated(platform, partner, start)
    clock.turn(timedelta(days=6, hours=12).total_seconds())
    await process.enter(new.token)
    await process.write()
    assert await deadline(platform, issued(partner).api_key) == start + LONGEST


async def test_without_grace_the_old_token_ends_at_once(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process = Process(platform.database, clock)
    new = await rotated(platform, partner, clock.now(), grace=timedelta(0))
    with pytest.raises(InvalidTokenError):
        await process.enter(issued(partner).api_key)
    await process.enter(new.token)


async def test_a_refused_call_is_no_first_use(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault, timestamp_networks=("192.0.2.0/24",))
    clock, old = TurnedClock(), issued(partner).api_key
    process, start = Process(platform.database, clock), clock.now()
    new = await rotated(platform, partner, start)
    with pytest.raises(AddressNotAllowedError):
        await process.enter(new.token, address="198.51.100.1")
    await process.write()
    assert await deadline(platform, old) == start + LONGEST
    await process.enter(new.token, address="192.0.2.1")
    await process.write()
    assert await deadline(platform, old) == start + DAY


async def test_a_second_rotation_keeps_earlier_deadlines(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    oldest, start = issued(partner).api_key, clock.now()
    process = Process(platform.database, clock)
    middle = await rotated(platform, partner, start)
    await process.enter(middle.token)
    await process.write()
    clock.turn(3600)
    newest = await rotated(platform, partner, clock.now(), grace=timedelta(days=2))
    assert await deadline(platform, oldest) == start + DAY
    assert await deadline(platform, middle.token) == clock.now() + LONGEST
    await process.enter(newest.token)
    await process.write()
    assert await deadline(platform, oldest) == start + DAY
    assert await deadline(platform, middle.token) == clock.now() + timedelta(days=2)
    credential, _ = await process.enter(oldest)
    assert credential.deprecated_at == start


async def test_two_processes_see_the_first_use_at_once_and_set_one_deadline(
    platform: Platform,
) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    new = await rotated(platform, partner, clock.now())
    item, other = (Process(platform.database, clock) for _ in range(2))
    first_use = clock.now()
    await item.enter(new.token)
    clock.turn(10)
    await other.enter(new.token)
    await item.write()
    await other.write()
    assert await deadline(platform, issued(partner).api_key) == first_use + DAY
    credential, _ = await other.enter(new.token)
    assert not credential.awaited
    entries = await platform.fetch(
        "SELECT after::text FROM audit_log WHERE partner_id = $1"
        " AND action = 'token.grace_started'",
        partner.partner_id,
    )
    assert len(entries) == 1
    assert json.loads(entries[0]["after"]) == {
        "key_id": key_id(issued(partner).api_key),
        "expires_at": (first_use + DAY).isoformat(timespec="seconds"),
        "successor_used": [key_id(new.token)],
    }


async def test_first_uses_written_together_are_told_of_each_partner_alone(
    platform: Platform,
) -> None:
    clock = TurnedClock()
    process = Process(platform.database, clock)
    partners = [await onboard(platform.database, platform.vault) for _ in range(3)]
    new = [await rotated(platform, partner, clock.now()) for partner in partners]
    for token in new:
        await process.enter(token.token)
    await process.write()
    entries = await platform.fetch(
        "SELECT partner_id, after::text FROM audit_log WHERE action = 'token.grace_started'"
        " AND partner_id = ANY($1)",
        [partner.partner_id for partner in partners],
    )
    told = {row["partner_id"]: json.loads(row["after"])["successor_used"] for row in entries}
    assert told == {
        partner.partner_id: [key_id(token.token)]
        for partner, token in zip(partners, new, strict=True)
    }


@pytest.mark.parametrize("applied", [False, True])
async def test_a_first_use_whose_commit_failed_is_written_with_the_next(
    platform: Platform, applied: bool
) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    new, away = await rotated(platform, partner, clock.now()), False
    database = FaultyDatabase(platform.database, lambda: applied if away else None)
    process, first_use = Process(database, clock), clock.now()
    await process.enter(new.token)
    away = True
    with pytest.raises(DatabaseUnavailableError):
        await process.write()
    away = False
    clock.turn(60)
    await process.enter(new.token)
    await process.write()
    assert await deadline(platform, issued(partner).api_key) == first_use + DAY
    (use,) = await platform.fetch("SELECT * FROM credential_uses WHERE key_id = $1", new.key_id)
    assert (use["first_used_at"], use["last_used_at"]) == (first_use, clock.now())


async def test_other_kinds_and_environments_are_not_rotated(platform: Platform) -> None:
    partner, clock = (
        await onboard(platform.database, platform.vault, sandbox_networks=(f"{CALLER}/32",)),
        TurnedClock(),
    )
    process = Process(platform.database, clock)
    await rotated(platform, partner, clock.now(), grace=timedelta(0))
    await process.enter(issued(partner).client_token, CLIENT_TOKEN)
    sandbox = issued(partner, SANDBOX)
    await process.enter(sandbox.api_key, API_KEY, environment=SANDBOX)
    await process.enter(sandbox.client_token, CLIENT_TOKEN, environment=SANDBOX)


async def test_a_revoked_token_is_over_whatever_its_grace(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    old, process = issued(partner).api_key, Process(platform.database, clock)
    new = await rotated(platform, partner, clock.now())
    await process.enter(old)
    for _ in range(2):
        async with platform.database.transaction() as tx:
            await revoke(tx, key_id(old), OPERATOR, clock.now())
    with pytest.raises(InvalidTokenError):
        await process.enter(old)
    await process.enter(new.token)
    entries = await platform.fetch(
        "SELECT action FROM audit_log WHERE partner_id = $1 ORDER BY id", partner.partner_id
    )
    assert [row["action"] for row in entries] == [
        "partner.add",
        "token.rotate",
        "token.revoke",
    ]


async def test_the_operator_sees_state_deadline_and_last_use(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    old, process = issued(partner).api_key, Process(platform.database, clock)
    for address in ("203.0.113.1", "2001:db8::5"):
        clock.turn(1)
        await process.enter(old, address=address)
        await process.write()
    new = await rotated(platform, partner, clock.now())
    async with platform.database.connection() as connection:
        found = await list_credentials(connection, partner.partner_id, clock.now())
        with pytest.raises(NotFoundError):
            await list_credentials(connection, "ptr_nobody", clock.now())
    by_key = {info.key_id: info for info in found}
    assert len(found) == 5
    before = by_key[key_id(old)]
    assert (before.state, before.expires_at) == ("expiring", clock.now() + LONGEST)
    assert (before.last_used_at, str(before.last_address)) == (clock.now(), "2001:db8::5")
    assert (by_key[new.key_id].state, by_key[new.key_id].last_used_at) == ("active", None)
    assert new.token not in repr(new) + repr(found)


async def test_a_later_use_is_not_overwritten_by_one_that_is_written_late(
    platform: Platform,
) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    token = issued(partner).api_key
    early, late = (Process(platform.database, clock) for _ in range(2))
    await early.enter(token, address="203.0.113.1")
    clock.turn(5)
    await late.enter(token, address="203.0.113.2")
    await late.write()
    await early.write()
    (use,) = await platform.fetch("SELECT * FROM credential_uses WHERE key_id = $1", key_id(token))
    assert (use["last_used_at"], str(use["last_address"])) == (clock.now(), "203.0.113.2")


async def test_uses_do_not_make_every_process_load_everything(platform: Platform) -> None:
    partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
    process = Process(platform.database, clock)
    (before,) = await platform.fetch("SELECT version FROM directory_version")
    await process.enter(issued(partner).api_key)
    await process.write()
    (after,) = await platform.fetch("SELECT version FROM directory_version")
    assert after == before


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), LONGEST + timedelta(seconds=1)])
async def test_a_grace_out_of_range_is_refused(platform: Platform, grace: timedelta) -> None:
    partner, now = await onboard(platform.database, platform.vault), TurnedClock().now()
    with pytest.raises(InvalidInputError, match="0 to 7 days"):
        await rotated(platform, partner, now, grace=grace)
    async with platform.database.transaction() as tx:
        with pytest.raises(NotFoundError, match="no partner 'ptr_nobody'"):
            await rotate(tx, "ptr_nobody", PRODUCTION, API_KEY, OPERATOR, now)
        with pytest.raises(NotFoundError, match="no token with key id"):
            await revoke(tx, "0" * 13, OPERATOR, now)
        with pytest.raises(InvalidInputError) as caught:
            await revoke(tx, issued(partner).api_key, OPERATOR, now)
        assert issued(partner).api_key not in caught.value.message
