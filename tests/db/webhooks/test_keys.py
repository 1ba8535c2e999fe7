"""Ed25519 keys of an environment, and the webhooks they sign."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook
from tests.db.webhooks.scene import (
    SECRETS,
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
)

from proof.core.errors import NotFoundError
from proof.core.secrets import SealError, Vault
from proof.db import Connection, Database
from proof.partners.keys.webhook_secrets import webhook_secret_text
from proof.webhooks.service import set_ed25519
from proof.webhooks.signing import (
    Rings,
    add_signing_key,
    ensure_signing_key,
    public_keys,
    signing_keys,
)


async def asked(database: Database, vault: Vault, to: int = 1) -> None:
    await endpoint(database, "https://one.example/", to=to)
    known = await endpoint_id(database, to)
    async with database.transaction() as tx:
        await set_ed25519(tx, vault, known, True)


async def texts(database: Database, to: int = 1) -> list[str]:
    async with database.connection() as connection:
        return list((await public_keys(connection, to)).values())


async def sent(database: Database, vault: Vault, client: FakeClient) -> dict[str, str]:
    """The headers of one more webhook."""

    async def keys(connection: Connection, owner: int) -> Sequence[Any]:
        return await signing_keys(connection, vault, owner)

    await happen(database)
    await relay_all(database)
    await deliverer(database, client, TurnedClock(), keys=keys).run_once()
    return client.sent[-1][2]


def verify(public: str, headers: dict[str, str], body: bytes) -> list[str]:
    """As a receiver does it; the v1a signatures that are this key's."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    good = []
    for part in headers["webhook-signature"].split(" "):
        kind, _, text = part.partition(",")
        if kind == "v1a":
            try:
                key.verify(base64.b64decode(text), signed)
            except Exception:  # noqa: BLE001, S112 - another key's
                continue
            good.append(part)
    return good


async def test_who_asks_is_signed_for_with_the_key_that_is_shown(
    database: Database, vault: Vault
) -> None:
    client = FakeClient()
    await asked(database, vault)
    headers = await sent(database, vault, client)
    (public,) = await texts(database)
    assert len(verify(public, headers, client.sent[-1][1])) == 1
    for secret in SECRETS:
        Webhook(webhook_secret_text(secret)).verify(client.sent[-1][1], headers)


async def test_who_does_not_ask_is_not(database: Database, vault: Vault) -> None:
    client = FakeClient()
    await endpoint(database, "https://one.example/")
    async with database.transaction() as tx:
        await ensure_signing_key(tx, vault, 1)
    signatures = (await sent(database, vault, client))["webhook-signature"].split()
    assert {signature.partition(",")[0] for signature in signatures} == {"v1"}


async def test_during_a_rotation_both_keys_sign(database: Database, vault: Vault) -> None:
    client = FakeClient()
    await asked(database, vault)
    (old,) = await texts(database)
    async with database.transaction() as tx:
        await add_signing_key(tx, vault, 1)
    new = next(text for text in await texts(database) if text != old)
    headers = await sent(database, vault, client)
    assert len(verify(old, headers, client.sent[-1][1])) == 1
    assert len(verify(new, headers, client.sent[-1][1])) == 1
    async with database.transaction() as tx:
        known = await public_keys(tx, 1)
        (old_id,) = (key_id for key_id, text in known.items() if text == old)
        retire = "UPDATE webhook_signing_keys SET retired_at = now() WHERE id = $1"
        await tx.execute(retire, old_id)
    headers = await sent(database, vault, client)
    assert verify(old, headers, client.sent[-1][1]) == []
    assert len(verify(new, headers, client.sent[-1][1])) == 1


async def test_several_at_once_make_one_key(database: Database, vault: Vault) -> None:
    async def ensure() -> None:
        async with database.transaction() as tx:
            await ensure_signing_key(tx, vault, 1)

    await asyncio.gather(*(ensure() for _ in range(8)))
    assert len(await texts(database)) == 1
    assert await texts(database, 2) == []


async def test_a_key_moved_to_another_record_does_not_open(
    database: Database, vault: Vault
) -> None:
    async with database.transaction() as tx:
        await ensure_signing_key(tx, vault, 1)
        await tx.execute("UPDATE webhook_signing_keys SET id = gen_random_uuid()")
        with pytest.raises(SealError):
            await signing_keys(tx, vault, 1)


async def test_without_the_key_it_asked_for_nothing_is_sent(
    database: Database, vault: Vault
) -> None:
    client = FakeClient()
    await asked(database, vault)
    await happen(database)
    await relay_all(database)
    await deliverer(database, client, TurnedClock()).run_once()
    (row,) = await deliveries(database)
    assert (row["state"], row["last_outcome"]) == ("pending", "no webhook signing key")
    assert client.sent == []


async def test_an_endpoint_that_is_not_there_asks_for_nothing(
    database: Database, vault: Vault
) -> None:
    await asked(database, vault)
    known = await endpoint_id(database)
    await endpoint(database, "")
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await set_ed25519(tx, vault, known, True)


async def test_a_ring_is_opened_once_a_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    now = 100.0

    async def secrets(_: Connection, owner: int) -> Sequence[bytes]:
        opened.append(owner)
        return SECRETS

    monkeypatch.setattr("proof.webhooks.signing.time.monotonic", lambda: now)
    rings = Rings(database, secrets, None)
    for _ in range(3):
        await asyncio.gather(*(rings.of(owner) for owner in (1, 2, 1)))
    assert sorted(opened) == [1, 2]
    now += 1.1
    async with database.connection() as connection:
        await rings.load(connection, [1])
    assert (await rings.of(1)).secrets == SECRETS
    assert sorted(opened) == [1, 1, 2]
