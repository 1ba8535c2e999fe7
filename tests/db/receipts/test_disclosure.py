"""Selective disclosure: the holder shows a field, anybody checks it, the others stay hidden."""

import json
from hashlib import sha256
from typing import Any

import pytest
from tests.support.application import Platform
from tests.support.ramp import said
from tests.support.receipts_lab import Bought, bought
from tests.support.sessions import BODY, EMAIL, WALLET

from proof.core.errors import NotFoundError
from proof.partners.audit import Actor
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.chains import FIELDS, ErasedError
from proof.ramp.transactions.erasure import erase_user
from proof.receipts.service import Receipts
from proof.timestamps.proofs.service import Proofs
from proof.verify.receipts.errors import DisclosureError
from proof.verify.receipts.receipt import verify_receipt
from proof.webhooks.pruning import forget_replies

OPERATOR = Actor("cli:anna@desk")
USER = str(BODY["partner_user_id"])
VALUES = {"address": WALLET, "user_email": EMAIL, "partner_user_id": USER}


async def disclosed(purchase: Bought, *fields: str) -> dict[str, Any]:
    platform = purchase.platform
    proofs = Proofs(platform.database, platform.clock)
    receipts = Receipts(platform.database, platform.vault, platform.clock, proofs)
    found: dict[str, Any] = json.loads(
        await receipts.disclosure(purchase.transaction, fields, OPERATOR)
    )
    assert found["format"] == "proof-disclosure/1"
    assert found["merchant_transaction_id"] == str(purchase.transaction)
    return found


def shown(receipt: Any, disclosure: dict[str, Any]) -> list[tuple[int, str, str]]:
    """What a holder of both learns: sequence, field and value, each hash computed anew."""
    found = []
    for each in disclosure["disclosures"]:
        record = receipt["records"][each["sequence"] - 1]["record"]
        salted = bytes.fromhex(each["salt"]) + each["value"].encode()
        assert record[f"{each['field']}_sha256"] == sha256(salted).hexdigest()
        found.append((each["sequence"], each["field"], each["value"]))
    return found


@pytest.mark.parametrize("field", VALUES)
async def test_one_field_is_shown_and_nothing_of_the_others(platform: Platform, field: str) -> None:
    purchase = await bought(platform)
    await purchase.happen(said(purchase.transaction, ProviderStatus.PROCESSING))
    receipt, disclosure = await purchase.receipt(), await disclosed(purchase, field)
    found = shown(receipt, disclosure)
    assert {each[1:] for each in found} == {(field, VALUES[field])}
    assert [sequence for sequence, _, _ in found] == ([1] if field == "user_email" else [1, 2])
    salts = [each["salt"] for each in disclosure["disclosures"]]
    assert len(set(salts)) == len(salts)
    text = json.dumps(disclosure)
    raw = (await purchase.answer()).body
    established = verify_receipt(raw, disclosures=[text.encode()])
    assert [(each.sequence, each.field, each.value) for each in established.disclosures] == found
    disclosure["disclosures"][0]["value"] += "?"
    with pytest.raises(DisclosureError):
        verify_receipt(raw, disclosures=[json.dumps(disclosure).encode()])
    assert not [value for name, value in VALUES.items() if name != field and value in text]


async def test_every_disclosure_is_audited_by_name_and_not_by_value(platform: Platform) -> None:
    purchase = await bought(platform)
    await disclosed(purchase, "address", "user_email")
    (entry,) = await platform.fetch(
        "SELECT actor, partner_id, after::text FROM audit_log WHERE action = 'transaction.disclose'"
        " AND after->>'merchant_transaction_id' = $1",
        str(purchase.transaction),
    )
    assert (entry["actor"], entry["partner_id"]) == (
        OPERATOR.name,
        purchase.shop.partner.partner_id,
    )
    assert json.loads(entry["after"])["fields"] == ["address", "user_email"]
    assert WALLET not in entry["after"]


async def test_a_field_that_was_not_sent_cannot_be_shown(platform: Platform) -> None:
    purchase = await bought(platform)
    with pytest.raises(NotFoundError, match="partner_reference"):
        await disclosed(purchase, "address", "partner_reference")
    assert not await platform.fetch(
        "SELECT FROM audit_log WHERE after->>'merchant_transaction_id' = $1",
        str(purchase.transaction),
    )


@pytest.mark.parametrize("field", FIELDS)
async def test_after_erasure_nothing_can_be_shown(platform: Platform, field: str) -> None:
    purchase = await bought(platform)
    async with platform.database.transaction() as tx:
        partner_id = purchase.shop.partner.partner_id
        how = (OPERATOR, platform.clock.now(), forget_replies)
        await erase_user(tx, platform.vault, partner_id, USER, *how)
    with pytest.raises(ErasedError, match="erased"):
        await disclosed(purchase, field)
