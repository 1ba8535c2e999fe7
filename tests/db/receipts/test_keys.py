"""The keys that receipts are signed with: made once, replaced at will, former ones served for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.support.application import Platform

from proof.core.errors import ProofError
from proof.core.secrets import SealError, Vault
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.receipts.keys import (
    NoReceiptKeyError,
    ReceiptKeys,
    ensure_key,
    list_keys,
    rotate,
    verifier_keys,
)
from proof.verify import parse_verifier_key
from proof.verify.evidence.log.note import LOG_KEY

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
OPERATOR = Actor("operator")
NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
PATHS = {PRODUCTION: "/receipts/key", SANDBOX: "/sandbox/receipts/key"}


async def served(platform: Platform, environment: Environment) -> list[str]:
    answer = await platform.call("GET", PATHS[environment])
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.body.decode().splitlines()


async def rotated(platform: Platform, environment: Environment, hours: int = 0) -> str:
    async with platform.database.transaction() as tx:
        now = NOW + timedelta(hours=hours)
        return await rotate(tx, platform.vault, environment, OPERATOR, now)


async def test_each_environment_serves_a_key_named_after_its_log(platform: Platform) -> None:
    keys = {environment: await served(platform, environment) for environment in Environment}
    for environment, lines in keys.items():
        key = parse_verifier_key(lines[0])
        assert (key.name, key.key_type) == (f"proof.example/{environment}/receipts", LOG_KEY)
    assert not set(keys[PRODUCTION]) & set(keys[SANDBOX])


async def test_a_key_is_made_once_however_many_start(platform: Platform) -> None:
    async def start() -> None:
        async with platform.database.transaction() as tx:
            await ensure_key(tx, platform.vault, SANDBOX, OPERATOR, NOW)

    before = await served(platform, SANDBOX)
    await asyncio.gather(*(start() for _ in range(4)))
    assert await served(platform, SANDBOX) == before


async def test_what_a_former_key_signed_verifies_and_it_signs_no_more(platform: Platform) -> None:
    keys = ReceiptKeys(platform.vault)
    async with platform.database.connection() as connection:
        former = await keys.signer(connection, PRODUCTION)
        assert await keys.signer(connection, PRODUCTION) is former
    made = [await rotated(platform, PRODUCTION, hours) for hours in range(2)]
    lines = await served(platform, PRODUCTION)
    assert lines[:2] == made[::-1]
    assert former.text in lines[2:]
    async with platform.database.connection() as connection:
        assert (await keys.signer(connection, PRODUCTION)).text == made[1]
        rows = await connection.fetch(
            "SELECT sealed IS NULL AS gone, retired_at FROM receipt_keys"
            " WHERE environment = 'production' ORDER BY retired_at NULLS FIRST"
        )
    assert [row["gone"] for row in rows] == [False, *[True] * (len(rows) - 1)]
    entries = await platform.fetch(
        "SELECT after->>'key' AS key FROM audit_log WHERE action = 'receipt_key.rotate' ORDER BY id"
    )
    assert [row["key"] for row in entries][-2:] == made


async def test_rotations_at_once_follow_one_another(platform: Platform) -> None:
    made = await asyncio.gather(*(rotated(platform, SANDBOX) for _ in range(4)))
    async with platform.database.connection() as connection:
        found = [key for key in await list_keys(connection) if key.environment is SANDBOX]
        assert await verifier_keys(connection, SANDBOX) == [key.text for key in found]
    assert set(made) <= {key.text for key in found}
    assert [key.retired_at is None for key in found] == [True, *[False] * (len(found) - 1)]


async def test_another_vault_and_another_row_open_nothing(platform: Platform) -> None:
    async with platform.database.connection() as connection:
        with pytest.raises(SealError):
            await ReceiptKeys(Vault([bytes(32)])).signer(connection, PRODUCTION)
        await connection.execute("BEGIN")
        await connection.execute(
            "UPDATE receipt_keys k SET sealed = other.sealed FROM receipt_keys other"
            " WHERE k.environment = 'production' AND k.retired_at IS NULL"
            " AND other.environment = 'sandbox' AND other.retired_at IS NULL"
        )
        with pytest.raises(SealError, match="altered or moved"):
            await ReceiptKeys(platform.vault).signer(connection, PRODUCTION)
        await connection.execute(
            "UPDATE receipt_keys SET retired_at = now(), sealed = NULL WHERE retired_at IS NULL"
        )
        with pytest.raises(
            NoReceiptKeyError, match="keys receipts rotate --env production"
        ) as told:
            await ReceiptKeys(platform.vault).signer(connection, PRODUCTION)
        assert isinstance(told.value, ProofError), "a command says it in a line"
        await connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM receipt_keys",
        "UPDATE receipt_keys SET public_key = sha256('mine')",
        "UPDATE receipt_keys SET name = 'mine'",
    ],
)
async def test_no_key_is_removed_or_exchanged(platform: Platform, statement: str) -> None:
    async with platform.database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
