"""What a receipt's page says is what its file says, whatever versions its records have."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.support.receipts import START, Story, bitcoin_proof, canonical, hashes_of, receipt

from proof.receipts.summary import ProvedIn, ReceiptSummary, Step, summarise


def summary(story: Story, **options: Any) -> ReceiptSummary:
    return summarise(canonical(receipt(story.records, story.at + timedelta(hours=1), **options)))


def test_a_purchase_from_its_opening_to_its_end() -> None:
    story = Story("a").opened().callback().status("processing").status("completed", "provider")
    found = summary(story, unproved=1)
    assert (found.type, found.status, found.paid) == ("buy", "completed", True)
    assert (found.crypto_amount, found.currency, found.network) == ("25.5", "USDT", "TRC20")
    assert (found.fiat_amount, found.fiat_currency, found.fiat_fee) == ("26.92", "EUR", "1.20")
    assert (found.rate, found.payment_method) == ("1.008627", "card")
    assert found.chain_transaction == "9f86d081"
    assert found.merchant_transaction_id == story.id
    assert found.head == hashes_of(story.records)[-1]
    assert [(step.kind, step.status) for step in found.steps] == [
        ("opened", ""),
        ("callback", ""),
        ("status", "processing"),
        ("status", "completed"),
    ]
    assert found.steps[0].at == story.records[0]["created_at"]
    assert found.steps[1].at == story.records[1]["received_at"]
    assert found.occurred_at == found.steps[-1].at == story.records[-1]["occurred_at"]
    assert [(each.chain, each.records) for each in found.proved] == [("LOG", 3)]
    assert (found.refund_status, found.statement, found.erased) == ("none", "", False)


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_what_was_never_paid_is_never_called_so(status: str) -> None:
    found = summary(Story("b").opened().status(status, "provider"))
    assert (found.status, found.paid, found.fiat_amount) == (status, False, "")
    assert summary(Story("b").opened()).status == "pending"


def test_what_was_paid_stays_so_after_a_failure() -> None:
    found = summary(Story("c").opened().status("processing", "provider").status("failed", "expiry"))
    assert (found.status, found.paid, found.failure_reason) == ("failed", True, "payout_failed")


def test_a_refund_is_told_with_its_amount_and_time() -> None:
    story = Story("d").opened().status("processing", "provider").status("completed", "provider")
    story.refunded("requested", "provider").refunded("refunded", "provider")
    found = summary(story)
    assert (found.status, found.refund_status, found.refund_amount) == (
        "completed",
        "refunded",
        "26.92",
    )
    assert found.refunded_at == found.steps[-1].at == story.records[-1]["refunded_at"]
    assert found.steps[-2] == Step("refund", "requested", story.records[-2]["recorded_at"])


@pytest.mark.parametrize("version", [1, 2])
def test_older_records_are_told_as_far_as_they_go(version: int) -> None:
    story = Story("e").older("processing", version).older("completed", version)
    found = summary(story)
    assert (found.type, found.status, found.paid, found.crypto_amount) == (
        "buy",
        "completed",
        True,
        "25.5",
    )
    assert found.fiat_fee == ("1.20" if version == 2 else "")
    assert [step.kind for step in found.steps] == ["status", "status"]


def test_an_operators_decision_and_an_erased_person() -> None:
    story = Story("f").opened().resolved("failed").status("failed", "operator")
    found = summary(story, personal="erased")
    assert found.erased
    assert [step.kind for step in found.steps] == ["opened", "resolution", "status"]


def test_each_chain_counts_its_proofs_and_names_its_latest_time() -> None:
    story = Story("g").opened().status("cancelled", "provider")
    file = receipt(story.records, START + timedelta(hours=2))
    proof = bitcoin_proof(hashes_of(story.records)[0]).payload
    file["records"][0]["proofs"].append(proof)
    found = summarise(msgspec.json.encode(file))
    assert [(each.chain, each.records) for each in found.proved] == [("LOG", 2), ("BTC", 1)]
    assert found.proved[1] == ProvedIn("BTC", 1, proof["tree"]["timestamp"])
    assert found.statement == ""
    file["statement"] = {"statement": {"date": "2026-03-01"}}
    assert summarise(msgspec.json.encode(file)).statement == "2026-03-01"
