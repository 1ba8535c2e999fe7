"""Who asked is told once of each chain that proves more of a receipt; who did not costs nothing."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.db.webhooks.scene import until
from tests.support.application import BASE_URLS, Platform, Stage
from tests.support.lives import Moment, lives
from tests.support.partners import owner_of
from tests.support.ramp import said
from tests.support.receipts_lab import Bought, bought
from tests.support.sessions import ramp_partner

from proof.events import publish, relay
from proof.outbound import OutboundPolicy
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.service import refund
from proof.ramp.types import RefundStatus
from proof.receipts import maturing
from proof.receipts.maturing import RECEIPT_EVENT, Maturing, StampedChain, watch
from proof.receipts.stamping import Stamper
from proof.timestamps.types import Currency, TreeRef
from proof.webhooks.service import fan_out, list_endpoints, set_endpoint, set_events
from proof.webhooks.types import Subscription

PROGRAM = "tests.db.receipts.mature_until_killed"
SANDBOX = Environment.SANDBOX
STATUS, RECEIPT, REFUNDED = Subscription
Told = list[tuple[str, str, str]]


async def subscribed(platform: Platform, *events: Subscription) -> Bought:
    """A purchase of a shop whose endpoint asked for these; without any it has the default."""
    shop = await ramp_partner(platform)
    owner = await owner_of(platform.database, shop.partner, SANDBOX)
    async with platform.database.transaction() as tx:
        url = "https://hooks.shop.example/"
        await set_endpoint(tx, OutboundPolicy(()), owner.id, "transaction", url)
        (endpoint,) = await list_endpoints(tx, owner.id)
        if events:
            await set_events(tx, endpoint.id, events)
    return await bought(platform, SANDBOX, shop)


async def bodies(platform: Platform, transaction: UUID) -> list[dict[str, Any]]:
    """What is told of a receipt, in the order it was published."""
    rows = await platform.fetch(
        "SELECT body, subject FROM outbox WHERE type = $1"
        " AND body::text IS NOT NULL AND convert_from(body, 'UTF8')::json->>'merchant_transaction_id' = $2"
        " ORDER BY position",
        RECEIPT_EVENT,
        str(transaction),
    )
    assert {row["subject"] for row in rows} <= {f"{transaction}/receipt"}
    return [json.loads(row["body"]) for row in rows]


async def tell(platform: Platform) -> None:
    await Maturing(platform.database, BASE_URLS).step()


async def watched(platform: Platform, transaction: UUID) -> int:
    rows = await platform.fetch(
        "SELECT FROM receipt_watches WHERE transaction_id = $1", transaction
    )
    return len(rows)


async def test_each_maturing_in_the_log_is_told_once(platform: Platform) -> None:
    purchase = await subscribed(platform, STATUS, RECEIPT)
    while await Stamper(platform.database, platform.clock).stamp():
        pass
    await tell(platform)
    assert await bodies(platform, purchase.transaction) == []
    assert await watched(platform, purchase.transaction) == 1
    await platform.seal()
    for _ in range(2):
        await tell(platform)
    receipt = await purchase.receipt()
    path = f"/widget/transactions/{purchase.transaction}/receipt"
    assert await bodies(platform, purchase.transaction) == [
        {
            "event": "transaction.receipt",
            "merchant_transaction_id": str(purchase.transaction),
            "records": "1",
            "record_sha256": receipt["records"][0]["sha256"],
            "currency": "LOG",
            "receipt_url": f"https://proof.example/sandbox{path}",
        }
    ]
    await purchase.happen(said(purchase.transaction, ProviderStatus.COMPLETED))
    await purchase.stamp()
    await tell(platform)
    receipt = await purchase.receipt()
    count = len(receipt["records"])
    told = await bodies(platform, purchase.transaction)
    assert [(each["records"], each["record_sha256"]) for each in told[1:]] == [
        (str(count), receipt["records"][-1]["sha256"])
    ]
    assert await watched(platform, purchase.transaction) == 0


@pytest.mark.parametrize("events", [(), (STATUS,)])
async def test_who_did_not_ask_costs_no_row(
    platform: Platform, events: Sequence[Subscription]
) -> None:
    purchase = await subscribed(platform, *events)
    while await Stamper(platform.database, platform.clock).stamp():
        pass
    assert await watched(platform, purchase.transaction) == 0
    await platform.seal()
    await tell(platform)
    assert await bodies(platform, purchase.transaction) == []


@pytest.mark.parametrize(
    ("events", "types"),
    [
        ((), {"transaction.updated"}),
        ((STATUS,), {"transaction.updated"}),
        ((RECEIPT,), {"transaction.receipt"}),
        ((STATUS, RECEIPT), {"transaction.updated", "transaction.receipt"}),
        ((STATUS, REFUNDED), {"transaction.updated", "transaction.refunded"}),
    ],
)
async def test_an_endpoint_gets_what_it_asked_for(
    platform: Platform, events: Sequence[Subscription], types: set[str]
) -> None:
    purchase = await subscribed(platform, *events)
    paid = {"fiat_currency": "EUR", "fiat_amount": Decimal("46.10")}
    await purchase.happen(said(purchase.transaction, ProviderStatus.COMPLETED, **paid))
    async with platform.database.transaction() as tx:
        how = (RefundStatus.REQUESTED, Decimal(5), "ticket 4711", Actor("cli"))
        now = platform.clock.now()
        await refund(tx, platform.vault, purchase.transaction, *how, now)
    owner = await owner_of(platform.database, purchase.shop.partner, SANDBOX)
    async with platform.database.transaction() as tx:
        # Whether or not it asked when the records were stamped.
        chain = StampedChain(owner.id, purchase.transaction, 1, bytes(32))
        event = Maturing(platform.database, BASE_URLS)._event(
            chain._asdict(), Currency.LOG, SANDBOX
        )
        await publish(tx, [event])
    async with platform.database.transaction() as tx:
        while relayed := await relay(tx, 1_000):
            await fan_out(tx, relayed)
    rows = await platform.fetch(
        "SELECT o.type, o.subject, o.sequence FROM webhook_deliveries d"
        " JOIN outbox o ON o.id = d.event_id WHERE o.partner_environment_id = $1",
        owner.id,
    )
    assert {row["type"] for row in rows} == types
    by_subject: dict[str, list[int]] = {}
    for row in rows:
        by_subject.setdefault(row["subject"], []).append(row["sequence"])
    # The numbers of a transaction's own events have no gaps where its receipt was told of.
    assert all(sorted(found) == [*range(1, len(found) + 1)] for found in by_subject.values())


async def tree(platform: Platform, currency: Currency, status: int) -> TreeRef:
    """A chain's tree of that status."""
    tree_id = uuid4()
    async with platform.database.connection() as connection:
        await connection.execute(
            "INSERT INTO trees (id, environment, currency_id, closed_at, status, root, plain_root,"
            " transaction, timestamp_ms, leaf_count, checkpoint_size, checkpoint_log_id, block, evidence)"
            " VALUES ($1, 'sandbox', $2, now(), $3, sha256('root'), sha256('plain'),"
            " 'transaction', 1, 2, 1, 1, 'block', '{}')",
            tree_id,
            currency,
            status,
        )
    return TreeRef(tree_id, currency)


async def verify(platform: Platform, *trees: TreeRef) -> None:
    async with platform.database.connection() as connection:
        await connection.execute(
            "UPDATE trees SET status = 3 WHERE id = ANY($1::uuid[])",
            [each.tree_id for each in trees],
        )


async def told(platform: Platform, transaction: UUID) -> Told:
    found = await bodies(platform, transaction)
    return [(each["currency"], each["records"], each["record_sha256"]) for each in found]


async def test_every_chain_tells_of_the_newest_record_that_it_proves(platform: Platform) -> None:
    purchase = await subscribed(platform, RECEIPT)
    owner = await owner_of(platform.database, purchase.shop.partner, SANDBOX)
    heads = [bytes([number]) * 32 for number in range(4)]
    early, late = [await tree(platform, Currency.BTC, 1) for _ in range(2)]
    ethereum = await tree(platform, Currency.ETH, 1)
    for number, trees in ((1, [early, ethereum]), (2, [early, ethereum]), (3, [late, ethereum])):
        async with platform.database.transaction() as tx:
            chain = StampedChain(owner.id, purchase.transaction, number, heads[number])
            await watch(tx, [chain], trees)
    await verify(platform, early)
    await tell(platform)
    first = [("BTC", "2", heads[2].hex())]
    assert await told(platform, purchase.transaction) == first
    await verify(platform, late, ethereum)
    await tell(platform)
    assert await told(platform, purchase.transaction) == [
        *first,
        ("BTC", "3", heads[3].hex()),
        ("ETH", "3", heads[3].hex()),
    ]


async def many(platform: Platform, count: int) -> UUID:
    """So many transactions of somebody who asked, in one verified tree; its id."""
    purchase = await subscribed(platform, RECEIPT)
    owner = await owner_of(platform.database, purchase.shop.partner, SANDBOX)
    bitcoin = await tree(platform, Currency.BTC, 3)
    async with platform.database.transaction() as tx:
        chains = [StampedChain(owner.id, uuid4(), 1, bytes(32)) for _ in range(count)]
        await watch(tx, chains, [bitcoin])
    return bitcoin.tree_id


async def counted(platform: Platform) -> Counter[str]:
    rows = await platform.fetch("SELECT subject FROM outbox WHERE type = $1", RECEIPT_EVENT)
    return Counter(row["subject"] for row in rows)


async def test_workers_at_once_tell_each_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maturing, "BATCH", 7)
    before = await counted(platform)
    tree_id = await many(platform, 30)

    async def work() -> None:
        worker = Maturing(platform.database, BASE_URLS)
        while await worker.step() is True:
            pass

    await asyncio.gather(*(work() for _ in range(3)))
    while await platform.fetch("SELECT FROM receipt_watches WHERE tree_id = $1", tree_id):
        await work()
    added = await counted(platform) - before
    assert (len(added), set(added.values())) == (30, {1})


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_anywhere_it_tells_each_once(moment: Moment, alone: Stage) -> None:
    platform = alone.platform
    tree_id = alone.run(many(platform, 5))

    async def left() -> int:
        rows = await platform.fetch("SELECT FROM receipt_watches WHERE tree_id = $1", tree_id)
        return len(rows)

    async def done() -> bool:
        # The rows of whoever was killed are locked until its server has noticed.
        await tell(platform)
        return not await left()

    with lives(PROGRAM, alone.arguments) as died:
        for number in range(1, 20):
            killed = died(number, moment)
            told_of = alone.run(counted(platform))
            assert len(told_of) + alone.run(left()) == 5
            assert all(times == 1 for times in told_of.values())
            if not killed:
                break
    assert not killed
    alone.run(until(done))
    told_of = alone.run(counted(platform))
    assert (len(told_of), set(told_of.values())) == (5, {1})
