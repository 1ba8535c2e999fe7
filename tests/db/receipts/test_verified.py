"""What the server gives out, read by the verifier that knows nothing of it."""

import json
from decimal import Decimal
from hashlib import sha256

import pytest
from tests.support.application import Platform
from tests.support.ramp import published_of, said
from tests.support.receipts_lab import Bought, bought, keys_of
from tests.support.sessions import BODY, WALLET

from proof.core.note_keys import ed25519_verify
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.erasure import erase_user
from proof.ramp.transactions.service import refund, resolve
from proof.ramp.types import RefundStatus, Status
from proof.receipts.service import Receipts
from proof.timestamps.proofs.service import Proofs
from proof.verify.receipts.receipt import EstablishedReceipt, verify_receipt
from proof.verify.receipts.webhooks import compare
from proof.webhooks.pruning import forget_replies

OPERATOR = Actor("cli:anna@desk")
PAID, DELIVERED = ProviderStatus.PROCESSING, ProviderStatus.COMPLETED


async def verified(purchase: Bought, *disclosures: bytes) -> EstablishedReceipt:
    """The receipt as it is now, by the keys that the server serves."""
    platform, environment = purchase.platform, purchase.environment
    return verify_receipt(
        (await purchase.answer()).body,
        receipt_keys=await keys_of(platform, environment, "receipts"),
        log_keys=await keys_of(platform, environment, "log"),
        disclosures=disclosures,
        ed25519_verify=ed25519_verify,
    )


@pytest.mark.parametrize("environment", Environment)
async def test_a_purchase_is_verified_at_each_step(
    platform: Platform, environment: Environment
) -> None:
    purchase = await bought(platform, environment)
    opened = await verified(purchase)
    assert (opened.chain.status, opened.tied) == ("pending", False)
    assert opened.remaining == ("Record 1: no proof yet; one fetched later has it.",)
    for verdict, status in ((PAID, "processing"), (DELIVERED, "completed")):
        await purchase.happen(said(purchase.transaction, verdict, said=status))
        await purchase.stamp()
        found = await verified(purchase)
        assert (found.chain.status, found.remaining) == (status, ())
    bodies = await published_of(platform.database, purchase.transaction)
    told = compare(bodies, found.chain)
    assert (told.matching, told.differing, told.others, told.untold) == (2, 0, 0, ())
    altered = bodies[1].replace(b'"completed"', b'"failed"')
    assert not compare([altered], found.chain).agrees


async def test_what_an_operator_resolved_is_verified(platform: Platform) -> None:
    purchase = await bought(platform)
    await purchase.happen(said(purchase.transaction, PAID))
    for _ in range(2):  # the second confirms what the first resolved
        async with platform.database.transaction() as tx:
            what = (purchase.transaction, Status.COMPLETED, "seen on the chain", OPERATOR)
            await resolve(tx, platform.vault, *what, platform.clock.now())
    await purchase.stamp()
    found = await verified(purchase)
    assert found.tied
    assert [dated.record.kind for dated in found.records] == [
        "session.opened",
        "transaction.status",
        "operator.resolution",
        "transaction.status",
        "operator.resolution",
    ]


async def test_a_refunded_purchase_is_verified(platform: Platform) -> None:
    purchase = await bought(platform)
    paid = {"fiat_currency": "EUR", "fiat_amount": Decimal("46.10")}
    await purchase.happen(said(purchase.transaction, PAID, **paid))
    await purchase.happen(said(purchase.transaction, DELIVERED))
    for status in (RefundStatus.REQUESTED, RefundStatus.REFUNDED, RefundStatus.CHARGED_BACK):
        async with platform.database.transaction() as tx:
            what = (purchase.transaction, status, Decimal("46.1"), "ticket 4711", OPERATOR)
            await refund(tx, platform.vault, *what, platform.clock.now())
    await purchase.stamp()
    found = await verified(purchase)
    assert (found.chain.status, found.chain.refund_status) == ("completed", "charged_back")
    assert (found.tied, found.remaining) == (True, ())
    rows = await platform.fetch(
        "SELECT body FROM outbox WHERE subject = $1 ORDER BY position",
        f"{purchase.transaction}/refund",
    )
    bodies = [row["body"] for row in rows]
    told = compare(bodies, found.chain)
    assert (told.matching, told.differing, told.others) == (3, 0, 0)
    assert not compare([bodies[1].replace(b'"46.10"', b'"46.09"')], found.chain).agrees
    path = f"/widget/transactions/{purchase.transaction}"
    view = (await purchase.shop.call(platform, purchase.environment, "GET", path)).json
    record = found.chain.records[-1]
    for name in ("refund_status", "refund_amount", "refunded_at"):
        assert view[name] == record.text(name)
    assert view["record_sha256"] == found.chain.records[2].sha256.hex()


async def test_what_is_disclosed_is_verified_and_so_is_what_was_erased(platform: Platform) -> None:
    purchase = await bought(platform)
    await purchase.happen(said(purchase.transaction, PAID))
    await purchase.stamp()
    receipts = Receipts(
        platform.database, platform.vault, platform.clock, Proofs(platform.database, platform.clock)
    )
    fields = ("address", "user_email", "partner_user_id")
    disclosure = await receipts.disclosure(purchase.transaction, fields, OPERATOR)
    found = await verified(purchase, disclosure)
    shown = {(each.sequence, each.field): each.value for each in found.disclosures}
    assert shown[1, "address"] == shown[2, "address"] == WALLET
    assert {field for _, field in shown} == set(fields)
    partner_id = purchase.shop.partner.partner_id
    async with platform.database.transaction() as tx:
        user = str(BODY["partner_user_id"])
        how = (OPERATOR, platform.clock.now(), forget_replies)
        await erase_user(tx, platform.vault, partner_id, user, *how)
    await purchase.happen(said(purchase.transaction, DELIVERED))
    await purchase.stamp()
    erased = await verified(purchase)
    assert (erased.tied, erased.claimed_personal) == (True, "erased")
    newest = erased.records[-1].record
    assert newest.text("status") == "completed"
    assert {newest.text(f"{field}_sha256") for field in ("address", "partner_user_id")} == {""}


async def test_a_record_of_the_server_has_the_hash_that_the_verifier_gives_it(
    platform: Platform,
) -> None:
    purchase = await bought(platform)
    (stored,) = (await purchase.receipt())["records"]
    rows = await platform.fetch(
        "SELECT record FROM ramp_records WHERE transaction_id = $1", purchase.transaction
    )
    assert json.loads(rows[0]["record"]) == stored["record"]
    assert sha256(rows[0]["record"]).digest() == (await verified(purchase)).chain.head
