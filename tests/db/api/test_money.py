"""What a transaction came to, on every surface a partner or a user reads it from (ramp API contract, "Money
and more"): every outcome of the simulator from its first second to its end."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.db.api.test_widget import Page
from tests.support.application import Stage, staged
from tests.support.ramp import records_of
from tests.support.sessions import Shop, open_session, ramp_partner
from tests.support.simulator import Loopback, TurnedClock, World

from proof.db.embedded import EmbeddedCluster
from proof.events import relay
from proof.partners.records.types import Wallet
from proof.partners.types import Environment
from proof.ramp.providers.outcomes import OUTCOMES, Name
from proof.ramp.transactions.updates import Updates
from proof.ramp.types import TransactionType

SANDBOX = Environment.SANDBOX
CENT = Decimal("0.01")
SALE, BUY = TransactionType.SELL, TransactionType.BUY

# The contract's table: what polling, lists, events and webhooks have, and of that what goes to a browser.
BROWSER = {
    "fiat_amount", "fiat_fee", "rate", "occurred_at", "failure_reason", "payment_method",
    "chain_transaction", "chain_transaction_url",
}  # fmt: skip
BACKEND = BROWSER | {
    "partner_user_id", "partner_reference", "refund_status", "refund_amount", "refunded_at",
    "record_sha256",
}  # fmt: skip
# What polling and a webhook's body have beside it, and the word that a body alone has.
COMMON = {
    "merchant_transaction_id", "type", "status", "currency", "network", "crypto_amount", "fiat_currency",
    "created_at", "updated_at",
}  # fmt: skip

REASONS = {
    (BUY, Name.DECLINED): "payment_declined",
    (BUY, Name.KYC_FAILED): "identity_refused",
    (SALE, Name.KYC_FAILED): "identity_refused",
    (SALE, Name.DEPOSIT_NEVER_ARRIVES): "deposit_expired",
    (SALE, Name.DELIVERY_FAILED): "payout_failed",
}
REFUNDS = {Name.REFUNDED: ["requested", "refunded"], Name.CHARGED_BACK: ["charged_back"]}
# Sums that a fee or a rate does not divide evenly, on each network there is a wallet for.
MONEY = [
    ("USDT", "TRC20", "33.333333", "EUR"),
    ("USDT", "TRC20", "10.01", "GBP"),
    ("BTC", "BTC", "0.00123457", "USD"),
    ("ETH", "ETH", "0.7000000000000001", "EUR"),
]
# By the second while things happen, then to where late callbacks, deposit windows and identities end.
PAUSES_S = [1.0] * 9 + [620.0, 10.0, 6 * 3600.0, 60.0]


@dataclass
class Surfaces:
    """One moment of a transaction, as each of its readers has it."""

    polled: dict[str, Any]
    socket: dict[str, Any]
    page: dict[str, Any]
    events: list[dict[str, Any]]
    refunds: list[dict[str, Any]]


@pytest.fixture(scope="module")
def stage(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("money")
    with staged(cluster, folder, clock=TurnedClock()) as found:
        yield found


@pytest.fixture(scope="module")
def shop(stage: Stage) -> Shop:
    wallets = (
        Wallet("USDT", "TRC20", "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf"),
        Wallet("BTC", "BTC", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
        Wallet("ETH", "ETH", "0x1B4239394926d24d9062c4648806F3807da9bFDf"),
    )
    made: Shop = stage.run(
        ramp_partner(
            stage.platform,
            off_ramp=True,
            currencies=("USDT", "BTC", "ETH"),
            networks=("TRC20", "BTC", "ETH"),
            wallets=wallets,
        )
    )
    return made


@pytest.fixture
def world(stage: Stage) -> World:
    clock = stage.platform.clock
    assert isinstance(clock, TurnedClock)
    return World(stage.platform, clock, Loopback(stage.platform))


def cases() -> Iterator[tuple[TransactionType, Name, tuple[str, str, str, str]]]:
    for place, outcome in enumerate(OUTCOMES):
        for kind in TransactionType:
            if kind in outcome.types:
                yield kind, outcome.name, MONEY[place % len(MONEY)]


@pytest.mark.parametrize(("kind", "outcome", "money"), list(cases()))
def test_the_sums_hold_on_every_surface_at_every_moment(
    stage: Stage,
    shop: Shop,
    world: World,
    kind: TransactionType,
    outcome: Name,
    money: tuple[str, str, str, str],
) -> None:
    async def scene() -> None:
        platform = stage.platform
        currency, network, amount, fiat = money
        reference = f"order {outcome} ✓"
        wanted = {"type": str(kind), "currency": currency, "network": network, "amount": amount}
        opened = await open_session(
            platform, shop, SANDBOX, {**wanted, "partner_reference": reference}
        )
        assert opened.status == 200, opened
        page, made = Page(platform, opened.json), opened.json["merchant_transaction_id"]
        assert (await page.open()).status == 200
        if fiat != "USD":
            await page.call("POST", "quote", {"fiat_currency": fiat})
        check(await read(stage, shop, page, made), kind, reference)
        begun = await shop.call(
            platform, SANDBOX, "POST", f"/simulate/{made}", {"outcome": outcome}
        )
        assert begun.status == 200, begun
        last = None
        for pause_s in PAUSES_S:
            world.clock.turn(pause_s)
            await world.settle(polling=outcome is Name.CALLBACK_LOST)
            last = await read(stage, shop, page, made)
            check(last, kind, reference)
        assert last is not None
        assert last.polled["status"] != "pending"
        steps = REFUNDS.get(outcome, [])
        assert [body["refund_status"] for body in last.refunds] == steps
        assert last.polled["refund_status"] == (steps or ["none"])[-1]
        assert last.polled["failure_reason"] == REASONS.get((kind, outcome), "")
        records = await records_of(platform.database, UUID(made))
        hashes = [hashlib.sha256(record).hexdigest() for record in records]
        assert [item["record_sha256"] for item in last.events] == hashes
        for record, event in zip(records, last.events, strict=True):
            told = json.loads(record)
            assert told["version"] == 3
            assert reference not in record.decode()
            assert all(told[name] == event[name] for name in told.keys() & event.keys())

    stage.run(scene())


async def read(stage: Stage, shop: Shop, page: Page, made: str) -> Surfaces:
    """Everything that is said of the transaction now."""
    platform = stage.platform
    polled = await shop.call(platform, SANDBOX, "GET", f"/widget/transactions/{made}")
    updates = Updates(platform.database)
    reader = await updates.open(UUID(made), None)
    update = await reader.next()
    updates.close(reader)
    assert update is not None
    async with platform.database.transaction() as tx:
        await relay(tx, 1000)
    listed = await shop.call(platform, SANDBOX, "GET", "/events?limit=1000")
    events = [item for item in listed.json["events"] if item["subject"] == made]
    refunds = [item for item in listed.json["events"] if item["subject"] == f"{made}/refund"]
    assert {event["version"] for event in events + refunds} <= {2}
    return Surfaces(
        polled.json,
        msgspec.json.decode(update.message),
        await page.state(),
        [event["body"] for event in events],
        [event["body"] for event in refunds],
    )


def check(seen: Surfaces, kind: TransactionType, reference: str) -> None:
    polled = seen.polled
    assert polled.keys() == COMMON | BACKEND
    assert all(isinstance(value, str) for value in polled.values())
    assert polled["partner_reference"] == reference
    refunded = seen.refunds[-1]["refund_status"] if seen.refunds else "none"
    assert polled["refund_status"] == refunded
    assert polled["occurred_at"] == polled["updated_at"]
    equal(seen, polled)
    sums(polled, kind)
    moments = [parsed(item["occurred_at"]) for item in seen.events]
    assert moments == sorted(set(moments))
    assert all(moment > parsed(polled["created_at"]) for moment in moments)
    for event in seen.events + seen.refunds:
        assert event.keys() == COMMON | BACKEND | {"event"}
        sums(event, kind)


def equal(seen: Surfaces, polled: dict[str, Any]) -> None:
    """Each surface says of the present what polling says."""
    if seen.events:
        # What went back came after the last status, whose record polling names.
        told = {**(seen.events + seen.refunds)[-1]}
        told["record_sha256"] = seen.events[-1]["record_sha256"]
        assert told.pop("event") == f"transaction.{'refunded' if seen.refunds else 'status'}"
        assert told == polled
    else:
        assert (polled["status"], polled["record_sha256"]) == ("pending", "")
    socket = {"payment_method": "", **seen.socket}
    for told in (socket, seen.page):
        assert told.keys() >= BROWSER
        assert told.keys() & (BACKEND - BROWSER) == set()
        for name in BROWSER | {"status", "crypto_amount", "fiat_currency"}:
            assert told[name] == polled[name], name
    if polled["fiat_amount"]:
        # The price on the page is the one that was settled.
        for name in ("fiat_currency", "fiat_amount", "fiat_fee", "rate"):
            assert seen.page["quote"][name] == polled[name], name


def sums(told: dict[str, Any], kind: TransactionType) -> None:
    money = [told[name] for name in ("fiat_currency", "fiat_amount", "fiat_fee", "rate")]
    lost = kind is SALE and told["status"] in {"failed", "cancelled"}
    if told["status"] in {"processing", "completed"}:
        assert re.fullmatch(r"\d+\.\d\d", told["fiat_amount"])
        assert re.fullmatch(r"\d+\.\d\d", told["fiat_fee"])
        price = (Decimal(told["rate"]) * Decimal(told["crypto_amount"])).quantize(
            CENT, ROUND_HALF_UP
        )
        fee = Decimal(told["fiat_fee"])
        whole = price + fee if kind is BUY else price - fee
        assert whole == Decimal(told["fiat_amount"])
    elif lost or told["status"] == "pending" or told["failure_reason"] != "delivery_failed":
        assert money == ["", "", "", ""]
    assert (told["status"] == "failed") is bool(told["failure_reason"])
    assert bool(told["chain_transaction"]) is bool(told["chain_transaction_url"])
    if told["status"] == "completed":
        assert told["chain_transaction_url"].endswith("/" + told["chain_transaction"])
        assert (told["payment_method"] == "card") is (kind is BUY)


def parsed(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
