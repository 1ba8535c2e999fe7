"""Receipts: the records in order, their proofs as they mature, and who signed how far they go."""

import json
from hashlib import sha256
from typing import Any

import pytest
from tests.support.application import Platform, Stage
from tests.support.databases import LoggedDatabase
from tests.support.partners import owner_of, tamper
from tests.support.ramp import make_transaction, said
from tests.support.receipts_lab import Bought, bought, keys_of, signed_lines
from tests.support.sessions import BODY, ramp_partner

from proof.core.canonical import canonical_json
from proof.core.note_keys import ed25519_verify
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.erasure import erase_user
from proof.receipts.service import Receipts
from proof.timestamps.proofs.service import Proofs
from proof.verify import verify_payload
from proof.verify.receipts.receipt import verify_receipt
from proof.webhooks.pruning import forget_replies

PAID, DELIVERED = ProviderStatus.PROCESSING, ProviderStatus.COMPLETED


def digests(receipt: Any) -> list[str]:
    return [each["sha256"] for each in receipt["records"]]


async def proved(platform: Platform, receipt: Any, environment: Environment) -> list[str]:
    """The chains that prove each record, once each proof was verified by itself."""
    keys = await keys_of(platform, environment, "log")
    found = []
    for each in receipt["records"]:
        for proof in each["proofs"]:
            raw = json.dumps(proof).encode()
            established = verify_payload(raw, log_keys=keys, ed25519_verify=ed25519_verify)
            assert established.tied
            assert established.leaf.hex() == each["sha256"]
        found.append(" ".join(proof["tree"]["currency"] for proof in each["proofs"]))
    return found


@pytest.mark.parametrize("environment", Environment)
async def test_a_receipt_grows_as_records_come_and_mature(
    platform: Platform, environment: Environment
) -> None:
    purchase = await bought(platform, environment)
    answer = await purchase.answer()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    opened = answer.json
    assert [each["proofs"] for each in opened["records"]] == [[]]
    await purchase.stamp()
    logged = await purchase.receipt()
    assert digests(logged) == digests(opened)
    assert await proved(platform, logged, environment) == ["LOG"]
    await purchase.happen(said(purchase.transaction, PAID))
    paid = await purchase.receipt()
    assert paid["records"][0] == logged["records"][0]
    assert await proved(platform, paid, environment) == ["LOG", ""]
    await purchase.stamp()
    await purchase.happen(said(purchase.transaction, DELIVERED, said="delivered"))
    await purchase.stamp()
    complete = await purchase.receipt()
    assert await proved(platform, complete, environment) == ["LOG"] * 3
    assert complete["records"][:2] == (await purchase.receipt())["records"][:2]


async def test_it_says_whose_it_is_and_every_record_hangs_on_the_one_before(
    platform: Platform,
) -> None:
    purchase = await bought(platform)
    await purchase.happen(said(purchase.transaction, PAID))
    receipt = await purchase.receipt()
    assert list(receipt) == [
        *("format", "merchant_transaction_id", "partner_id", "environment", "as_of", "personal"),
        *("records", "signature", "statement"),
    ]
    assert receipt["format"] == "proof-receipt/1"
    assert receipt["merchant_transaction_id"] == str(purchase.transaction)
    assert receipt["partner_id"] == purchase.shop.partner.partner_id
    assert (receipt["environment"], receipt["personal"]) == ("sandbox", "held")
    previous = ""
    for number, each in enumerate(receipt["records"], 1):
        record = each["record"]
        assert (record["sequence"], record["previous_sha256"]) == (number, previous)
        previous = sha256(canonical_json(record)).hexdigest()
        assert each["sha256"] == previous
    assert number == 2


async def test_the_signature_is_over_how_far_the_chain_goes_and_when(platform: Platform) -> None:
    purchase = await bought(platform)
    keys = await keys_of(platform, purchase.environment, "receipts")
    for count in (1, 2):
        receipt = await purchase.receipt()
        assert signed_lines(receipt["signature"], keys) == [
            "proof-receipt/1",
            str(purchase.transaction),
            str(count),
            digests(receipt)[-1],
            receipt["as_of"],
        ]
        await purchase.happen(said(purchase.transaction, PAID))


async def test_an_erased_person_is_gone_and_the_records_stay(platform: Platform) -> None:
    purchase = await bought(platform)
    await purchase.stamp()
    before = await purchase.receipt()
    user, partner_id = str(BODY["partner_user_id"]), purchase.shop.partner.partner_id
    async with platform.database.transaction() as tx:
        how = (partner_id, user, Actor("operator"), platform.clock.now(), forget_replies)
        await erase_user(tx, platform.vault, *how)
    after = await purchase.receipt()
    assert (before["personal"], after["personal"]) == ("held", "erased")
    assert after["records"] == before["records"]
    assert user not in json.dumps(after)


async def statements_for(purchase: Bought) -> int:
    platform = purchase.platform
    owner = await owner_of(platform.database, purchase.shop.partner, purchase.environment)
    database = LoggedDatabase(platform.database)
    receipts = Receipts(database, platform.vault, platform.clock, Proofs(database, platform.clock))
    await receipts.receipt(owner.id, purchase.transaction)  # keys and checkpoints are remembered
    database.statements.clear()
    await receipts.receipt(owner.id, purchase.transaction)
    return len(database.statements)


async def test_more_records_take_no_more_statements(platform: Platform) -> None:
    short, long = await bought(platform), await bought(platform)
    await short.stamp()
    for statement in (PAID, DELIVERED):
        await long.stamp()
        await long.happen(said(long.transaction, statement, said=str(statement)))
    await long.stamp()
    statements = await statements_for(short)
    assert 0 < statements == await statements_for(long)


async def test_a_transaction_without_a_record_has_no_receipt_yet(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    owner = await owner_of(platform.database, shop.partner, Environment.SANDBOX)
    made = await make_transaction(platform.database, platform.vault, owner.id)
    answer = await Bought(platform, shop, made).answer()
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "no record yet" in answer.json["message"]


async def test_what_is_no_id_is_told_so(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    answer = await shop.call(
        platform, Environment.SANDBOX, "GET", "/widget/transactions/4711/receipt"
    )
    assert (answer.status, answer.json["code"]) == (400, "missing_param")


async def test_our_own_verifier_ties_it_to_our_keys(platform: Platform) -> None:
    purchase = await bought(platform)
    await purchase.happen(said(purchase.transaction, PAID))
    await purchase.stamp()
    established = verify_receipt(
        (await purchase.answer()).body,
        receipt_keys=await keys_of(platform, purchase.environment, "receipts"),
        log_keys=await keys_of(platform, purchase.environment, "log"),
        ed25519_verify=ed25519_verify,
    )
    assert established.tied
    assert established.chain.status == "processing"


SPOILED = {
    "a record altered": "UPDATE ramp_records SET record = convert_to(replace(convert_from(record, 'UTF8'),"
    " '\"processing\"', '\"completed\"'), 'UTF8') WHERE transaction_id = '{}' AND sequence = 2",
    "a record gone": "DELETE FROM ramp_records WHERE transaction_id = '{}' AND sequence = 1",
    "another transaction's": "UPDATE ramp_records SET transaction_id = '{}' WHERE sequence = 3"
    " AND transaction_id <> '{}'",
    "another receipts key": "UPDATE receipt_keys SET public_key = sha256(public_key)",
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_our_verifier_refuses_nobody_gets(alone: Stage, how: str) -> None:
    platform = alone.platform

    async def scene() -> None:
        purchase, other = await bought(platform), await bought(platform)
        await other.happen(said(other.transaction, DELIVERED))
        await purchase.happen(said(purchase.transaction, PAID))
        await purchase.stamp()
        assert (await purchase.answer()).status == 200
        await tamper(platform.database, SPOILED[how].replace("{}", str(purchase.transaction)))
        answer = await purchase.answer()
        assert (answer.status, answer.json["error"]) == (500, "internal_error")
        assert str(purchase.transaction) not in answer.body.decode()

    alone.run(scene())
