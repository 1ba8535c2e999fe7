"""Credentials in memory: a change is seen within a second, and nothing is trusted without the database."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.databases import FaultyDatabase, HangingDatabase
from tests.support.partners import execute, issued, limit, onboard, revoke, suspend

from proof.db import Connection, Database
from proof.partners.access import directory as directories
from proof.partners.access.credentials import Credential
from proof.partners.access.directory import TRUST_S, Directory
from proof.partners.access.tokens import parse_token
from proof.partners.errors import DirectoryStaleError
from proof.partners.types import CredentialKind, Environment, OnboardedPartner

PRODUCTION = Environment.PRODUCTION
SEEN_WITHIN_S = 1.0
# What the machine may be late by while it runs other things.
SLACK_S = 60.0


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[Directory]:
    directory = Directory(database)
    task = asyncio.create_task(directory.run())
    try:
        yield directory
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def key_id(partner: OnboardedPartner) -> str:
    parsed = parse_token(issued(partner).api_key)
    assert parsed is not None
    return parsed.key_id


async def require_seen(
    change: Awaitable[None],
    directory: Directory,
    key: str,
    seen: Callable[[Credential | None], Any],
) -> None:
    """The change is seen within its second by a process that is asked all the while."""
    assert not seen(await directory.find(key))
    await change

    async def noticed() -> bool:
        return bool(seen(await directory.find(key)))

    await until(noticed, SEEN_WITHIN_S + SLACK_S)


async def test_a_new_partner_is_found_by_asking(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody watches and a look is trusted for long: only the miss itself can bring the partner, although
    # somebody looked just before there was one.
    monkeypatch.setattr(directories, "TRUST_S", 3600)
    monkeypatch.setattr(directories, "MISS_POLL_S", 1.0)

    directory = Directory(platform.database)
    assert await directory.find("0" * 13) is None
    partner = await onboard(platform.database, platform.vault)
    await directory.poll_after_miss()
    assert await directory.find(key_id(partner)) is not None


@pytest.mark.parametrize("change", ["revoked", "expired", "suspended", "limited", "listed"])
async def test_a_change_is_seen_within_a_second(platform: Platform, change: str) -> None:
    partner = await onboard(platform.database, platform.vault)
    database, key = platform.database, key_id(partner)
    identity = issued(partner).partner_environment_id
    changes: dict[str, tuple[Awaitable[None], Callable[[Any], Any]]] = {
        "revoked": (revoke(database, issued(partner).api_key), lambda item: item is None),
        "expired": (
            execute(database, "UPDATE credentials SET expires_at = now() WHERE key_id = $1", key),
            lambda item: item is None,
        ),
        "suspended": (suspend(database, partner), lambda item: item.owner.suspended),
        "limited": (
            limit(database, partner, PRODUCTION, status=7),
            lambda item: item.owner.limits.status == 7,
        ),
        "listed": (
            execute(
                database, "INSERT INTO allowlist VALUES ($1, 'api_key', '10.0.0.0/8')", identity
            ),
            lambda item: item.owner.allowlists[CredentialKind.API_KEY],
        ),
    }
    async with watching(database) as directory:
        await directory.find(key)
        act, seen = changes.pop(change)
        for unused, _ in changes.values():
            unused.close()  # type: ignore[attr-defined]  # a coroutine
        await require_seen(act, directory, key, seen)


async def test_a_process_that_nobody_asks_asks_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = await onboard(platform.database, platform.vault)
    looks, token = 0, issued(partner).api_key

    def counted() -> None:
        nonlocal looks
        looks += 1

    directory = Directory(FaultyDatabase(platform.database, counted))
    assert await directory._poll() is False
    assert looks == 0
    found = await directory.find(key_id(partner))
    assert found is not None
    directory.remember(token, found)
    assert await directory._poll() == directories.POLL_S
    assert looks == 2
    monkeypatch.setattr(directories, "LINGER_S", -1.0)
    directory.remember(token, found)
    assert await directory._poll() is False
    # What is no longer kept fresh holds no whole token.
    assert directory.recent(token) is None
    assert looks == 2
    # The first who asks then has the directory look, and has it kept fresh again.
    monkeypatch.setattr(directories, "TRUST_S", -1.0)
    directory._polling._woken.clear()
    assert await directory.find(key_id(partner)) is not None
    assert looks == 3
    assert directory._polling._woken.is_set()


async def test_with_the_database_gone_nothing_is_trusted(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    away = False
    database = FaultyDatabase(platform.database, lambda: False if away else None)
    async with watching(database) as directory:
        assert await directory.find(key_id(partner)) is not None
        away = True

        async def refused() -> bool:
            try:
                await directory.find(key_id(partner))
            except DirectoryStaleError:
                return True
            return False

        await until(refused, TRUST_S + SLACK_S)
        with pytest.raises(DirectoryStaleError):
            await directory.poll_after_miss()
        away = False
        assert await directory.find(key_id(partner)) is not None


async def test_a_directory_that_never_read_trusts_nobody(platform: Platform) -> None:
    directory = Directory(FaultyDatabase(platform.database, lambda: False))
    with pytest.raises(DirectoryStaleError, match="credentials cannot be checked"):
        await directory.find("0" * 13)


async def test_all_who_wait_for_a_database_that_hangs_share_one_check(platform: Platform) -> None:
    database = HangingDatabase(platform.database)
    directory = Directory(database)
    calls = [asyncio.create_task(directory.find("0" * 13))]
    await database.asked.wait()
    calls += [asyncio.create_task(directory.find("0" * 13)) for _ in range(50)]
    await asyncio.sleep(0)
    database.answered.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {DirectoryStaleError}
    # One that was under way, and one for all who came meanwhile.
    assert database.tries == 2


async def test_a_flood_of_unknown_tokens_costs_the_database_little(platform: Platform) -> None:
    looks = 0

    class Counted(Directory):
        async def _reload(self, connection: Connection) -> None:
            nonlocal looks
            looks += 1
            await super()._reload(connection)

    directory = Counted(platform.database)
    begun = time.monotonic()
    for _ in range(4):
        await asyncio.gather(*(directory.poll_after_miss() for _ in range(50)))
    assert looks == 4
    assert time.monotonic() - begun >= 3 * directories.MISS_POLL_S


async def test_a_change_that_is_rolled_back_is_none(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    connection = await platform.database.dedicated()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "UPDATE partners SET status = 'suspended' WHERE id = $1", partner.partner_id
    )
    directory = Directory(platform.database)
    await transaction.rollback()
    await connection.close()
    found = await directory.find(key_id(partner))
    assert found is not None
    assert not found.owner.suspended
