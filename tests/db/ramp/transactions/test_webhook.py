"""A status change reaches the partner's receiver over HTTP: signed, numbered, in the contract's words."""

import asyncio
import base64
import json
from decimal import Decimal
from uuid import UUID

from standardwebhooks import Webhook
from tests.db.ramp.transactions.scene import START
from tests.db.webhooks.scene import POLICY, SECRETS, ring
from tests.support.ramp import hear, make_transaction, published_of, said
from tests.support.receiver import Received, Receiver

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.outbound import OutboundClient
from proof.ramp.providers.protocols import ProviderStatus
from proof.webhooks import Deliverer, set_endpoint

FIELDS = {
    "merchant_transaction_id", "type", "status", "currency", "network", "crypto_amount",
    "fiat_currency", "fiat_amount", "created_at", "updated_at", "event", "occurred_at", "fiat_fee", "rate",
    "partner_user_id", "partner_reference", "failure_reason", "payment_method", "chain_transaction",
    "chain_transaction_url", "refund_status", "refund_amount", "refunded_at", "record_sha256",
}  # fmt: skip


async def delivered(database: Database, receiver: Receiver, count: int) -> list[Received]:
    """What arrives, with a real deliverer at work."""
    client, stop = OutboundClient(POLICY, connect_timeout_s=120, timeout_s=120), asyncio.Event()
    task = asyncio.create_task(Deliverer(database, client, ring, SystemClock()).run(stop))
    try:
        return await asyncio.to_thread(receiver.wait_for, count)
    finally:
        stop.set()
        await task
        await client.aclose()


async def test_every_status_change_arrives_signed_and_numbered(
    database: Database, vault: Vault, owner: int
) -> None:
    async def scene(receiver: Receiver) -> tuple[UUID, list[Received]]:
        async with database.transaction() as tx:
            await set_endpoint(tx, POLICY, owner, "transaction", receiver.url("/hook"))
        made = await make_transaction(database, vault, owner, at=START)
        money = {"fiat_currency": "EUR", "fiat_amount": Decimal("46.10")}
        await hear(database, vault, said(made, ProviderStatus.COMPLETED, **money), now=START)
        return made, await delivered(database, receiver, 2)

    with Receiver() as receiver:
        made, received = await scene(receiver)
        by_sequence = {item.headers["webhook-sequence"]: item for item in received}
        assert sorted(by_sequence) == ["1", "2"]
        published = await published_of(database, made)
        assert [by_sequence[number].body for number in ("1", "2")] == published
        key = base64.b64encode(SECRETS[0]).decode()
        for item in received:
            Webhook(key).verify(item.body, item.headers)
            told = json.loads(item.body)
            assert set(told) == FIELDS
            assert all(isinstance(value, str) for value in told.values())
        statuses = [json.loads(by_sequence[number].body)["status"] for number in ("1", "2")]
        assert statuses == ["processing", "completed"]


async def test_an_endpoint_of_another_purpose_gets_none(
    database: Database, vault: Vault, owner: int
) -> None:
    async def scene(receiver: Receiver) -> list[Received]:
        async with database.transaction() as tx:
            await set_endpoint(tx, POLICY, owner, "timestamp.tree", receiver.url("/trees"))
            await set_endpoint(tx, POLICY, owner, "transaction", receiver.url("/transactions"))
        made = await make_transaction(database, vault, owner, at=START)
        await hear(database, vault, said(made, ProviderStatus.CANCELLED), now=START)
        return await delivered(database, receiver, 1)

    with Receiver() as receiver:
        assert [item.path for item in await scene(receiver)] == ["/transactions"]
