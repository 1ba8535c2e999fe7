"""Session signing keys: one signs, all live ones verify, none is ever shown."""

import asyncio
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.db.webhooks.scene import until

from proof.core.secrets import SealError, Vault
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.keys import session_signing
from proof.partners.keys.session_signing import (
    RETAINED,
    NoSigningKeyError,
    SessionParameters,
    SignatureError,
    delete_expired,
    ensure_key,
    list_keys,
    open_ring,
    rotate,
    rotate_due,
    sign,
    verify,
)
from proof.partners.types import Environment
from proof.worker.loops import keep_rings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACTOR = Actor("worker")
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
SESSION = SessionParameters("TXYZ", "192.0.2.7", "0d9f5f4e-7b0f-4c5b-9d57-2f6a5a3f1c11")


async def ensured(database: Database, vault: Vault, environment: Environment = PRODUCTION) -> None:
    async with database.transaction() as tx:
        await ensure_key(tx, vault, environment, ACTOR, NOW)


async def rotated(database: Database, vault: Vault, now: datetime) -> UUID:
    async with database.transaction() as tx:
        return await rotate(tx, vault, PRODUCTION, ACTOR, now)


async def signed(
    database: Database, vault: Vault, now: datetime, session: SessionParameters = SESSION
) -> str:
    async with database.connection() as connection:
        return await sign(connection, vault, PRODUCTION, session, now)


async def require(
    database: Database,
    vault: Vault,
    signature: str,
    now: datetime,
    session: SessionParameters = SESSION,
    environment: Environment = PRODUCTION,
) -> None:
    async with database.connection() as connection:
        await verify(connection, vault, environment, session, signature, now)


async def stored(database: Database) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM signing_keys ORDER BY created_at")


async def test_the_first_key_is_created_and_the_next_is_a_rotation(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    await rotated(database, vault, NOW + timedelta(days=1))
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["signing_key.create", "signing_key.rotate"]


async def test_the_signature_is_the_contracts(database: Database, vault: Vault) -> None:
    await ensured(database, vault)
    (row,) = await stored(database)
    key = vault.open(row["sealed"], f"session signing key {row['id']} of production")
    assert len(key) == 64
    message = (
        b"\x00\x00\x00\x04TXYZ"
        b"\x00\x00\x00\x09192.0.2.7"
        b"\x00\x00\x00\x24" + SESSION.merchant_transaction_id.encode()
    )
    expected = "v2:" + hmac.digest(key, message, "sha512").hex()
    assert await signed(database, vault, NOW) == expected
    assert len(expected) == 3 + 128
    await require(database, vault, expected, NOW)


@pytest.mark.parametrize(
    "other",
    [
        SESSION._replace(address="TXYZ1", client_ip="92.0.2.7"),
        SESSION._replace(client_ip=""),
        SESSION._replace(address="", client_ip="TXYZ192.0.2.7"),
        SESSION._replace(merchant_transaction_id="0d9f5f4e"),
        SessionParameters(*reversed(SESSION)),
    ],
)
async def test_a_signature_is_of_these_parameters_only(
    database: Database, vault: Vault, other: SessionParameters
) -> None:
    await ensured(database, vault)
    signature = await signed(database, vault, NOW)
    with pytest.raises(SignatureError):
        await require(database, vault, signature, NOW, other)


@pytest.mark.parametrize(
    "forge",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: "v1:" + text[3:],
        lambda text: text.upper(),
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text + "é\ud800",
    ],
)
async def test_a_forged_signature_is_refused_without_showing_the_right_one(
    database: Database, vault: Vault, forge: Any
) -> None:
    await ensured(database, vault)
    signature = await signed(database, vault, NOW)
    with pytest.raises(SignatureError) as refused:
        await require(database, vault, forge(signature), NOW)
    assert signature[3:] not in repr(refused.value)


async def test_the_newest_signs_and_a_retired_one_verifies_for_26_hours(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    old = await signed(database, vault, NOW)
    await rotated(database, vault, NOW)
    new = await signed(database, vault, NOW)
    assert new != old
    end = NOW + timedelta(hours=26)
    assert end == NOW + RETAINED
    just_before = end - timedelta(microseconds=1)
    for signature in (old, new):
        await require(database, vault, signature, just_before)
    await require(database, vault, new, end)
    with pytest.raises(SignatureError):
        await require(database, vault, old, end)


async def test_withdrawn_keys_verify_no_longer_and_the_other_environment_keeps_its_own(
    database: Database, vault: Vault
) -> None:
    for environment in Environment:
        await ensured(database, vault, environment)
    oldest = await signed(database, vault, NOW)
    await rotated(database, vault, NOW)
    old = await signed(database, vault, NOW)
    async with database.transaction() as tx:
        await rotate(tx, vault, PRODUCTION, ACTOR, NOW, withdraw=True)
    for signature in (oldest, old):
        with pytest.raises(SignatureError):
            await require(database, vault, signature, NOW)
    await require(database, vault, await signed(database, vault, NOW), NOW)
    assert [row["environment"] for row in await stored(database)] == ["sandbox", "production"]


async def test_retired_keys_are_deleted_when_they_verify_no_longer(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    new = await rotated(database, vault, NOW)
    for moment, left in ((NOW + RETAINED - timedelta(microseconds=1), 2), (NOW + RETAINED, 1)):
        async with database.transaction() as tx:
            await delete_expired(tx, ACTOR, moment)
        assert len(await stored(database)) == left
    assert [row["id"] for row in await stored(database)] == [new]


async def test_environments_have_rings_of_their_own(database: Database, vault: Vault) -> None:
    await ensured(database, vault)
    signature = await signed(database, vault, NOW)
    with pytest.raises(NoSigningKeyError):
        await require(database, vault, signature, NOW, environment=SANDBOX)
    await ensured(database, vault, SANDBOX)
    with pytest.raises(SignatureError):
        await require(database, vault, signature, NOW, environment=SANDBOX)


async def test_a_key_moved_to_the_other_environment_does_not_open(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    async with database.connection() as connection:
        await connection.execute("UPDATE signing_keys SET environment = 'sandbox'")
        with pytest.raises(SealError, match="altered or moved"):
            await open_ring(connection, vault, SANDBOX, NOW)


async def test_many_that_start_at_once_make_one_key(database: Database, vault: Vault) -> None:
    await asyncio.gather(*(ensured(database, vault) for _ in range(8)))
    await ensured(database, vault)
    assert len(await stored(database)) == 1


async def test_workers_that_rotate_at_once_rotate_once(database: Database, vault: Vault) -> None:
    month = timedelta(days=30)
    await ensured(database, vault)

    async def due(now: datetime) -> bool:
        async with database.transaction() as tx:
            return await rotate_due(tx, vault, PRODUCTION, ACTOR, now, month)

    assert not await due(NOW + month - timedelta(seconds=1))
    done = await asyncio.gather(*(due(NOW + month) for _ in range(6)))
    assert sorted(done) == [False] * 5 + [True]
    assert [row["retired_at"] for row in await stored(database)] == [NOW + month, None]


async def test_operators_that_rotate_at_once_each_get_a_key(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    made = await asyncio.gather(*(rotated(database, vault, NOW) for _ in range(6)))
    rows = await stored(database)
    assert len(set(made)) == 6
    assert len(rows) == 7
    assert sum(row["retired_at"] is None for row in rows) == 1


async def test_signers_go_on_while_keys_are_rotated(database: Database, vault: Vault) -> None:
    await ensured(database, vault)
    finished = asyncio.Event()
    signatures: set[str] = set()

    async def signing_and_verifying() -> None:
        while not finished.is_set():
            signature = await signed(database, vault, NOW)
            await require(database, vault, signature, NOW)
            signatures.add(signature)

    async def more_than(count: int) -> None:
        await until(lambda: len(signatures) > count)

    signers = [asyncio.create_task(signing_and_verifying()) for _ in range(4)]
    for _ in range(10):
        before = len(signatures)
        await rotated(database, vault, NOW)
        await more_than(before)
    finished.set()
    await asyncio.gather(*signers)
    assert len(signatures) >= 10
    for signature in signatures:
        await require(database, vault, signature, NOW)


async def test_the_worker_keeps_both_rings(database: Database, vault: Vault) -> None:
    class Clock:
        time = NOW

        def now(self) -> datetime:
            return self.time

    clock, month = Clock(), timedelta(days=30)
    await keep_rings(database, vault, clock, month)
    assert len(await stored(database)) == 2
    await keep_rings(database, vault, clock, month)
    assert len(await stored(database)) == 2
    clock.time += month
    await keep_rings(database, vault, clock, month)
    assert len(await stored(database)) == 4
    clock.time += RETAINED
    await keep_rings(database, vault, clock, month)
    assert len(await stored(database)) == 2


async def test_every_change_is_in_the_audit_log_and_no_key_is(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    (first,) = await stored(database)
    await rotated(database, vault, NOW)
    async with database.transaction() as tx:
        await delete_expired(tx, ACTOR, NOW + RETAINED)
        rows = await tx.fetch("SELECT * FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == [
        "signing_key.create",
        "signing_key.rotate",
        "signing_key.delete",
    ]
    (row,) = await stored(database)
    key = vault.open(row["sealed"], session_signing.IDENTITY.format_map(dict(row)))
    assert str(row["id"]) in rows[1]["after"]
    assert rows[0]["before"] is None
    assert json.loads(rows[1]["before"]) == {"key_id": str(first["id"])}
    assert key.hex() not in repr([tuple(row) for row in rows])


async def test_what_is_listed_and_what_a_ring_says_of_itself_holds_no_key(
    database: Database, vault: Vault
) -> None:
    await ensured(database, vault)
    await rotated(database, vault, NOW)
    async with database.connection() as connection:
        keys = await list_keys(connection)
        ring = await open_ring(connection, vault, PRODUCTION, NOW)
    assert [key.retired_at for key in keys] == [None, NOW]
    assert repr(ring) == "Ring()"
    opened = [
        vault.open(row["sealed"], session_signing.IDENTITY.format_map(dict(row)))
        for row in await stored(database)
    ]
    for key in opened:
        assert key not in repr(keys).encode()
        assert key.hex() not in repr(keys)
