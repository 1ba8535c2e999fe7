"""Chains of records that break one rule each, re-chained as a forger would, or as a lying operator."""

import copy
from collections.abc import Callable
from typing import Any

from tests.support import receipts
from tests.support.receipts import Json, Story, hashes_of, relinked

from proof.verify import RefusedError
from proof.verify.errors import EncodingError
from proof.verify.receipts import errors

STORIES = dict(receipts.stories())
BUY = STORIES["buy-completed"].records
REFUNDED = STORIES["refunded"].records
RESOLVED = STORIES["resolved-by-operator"].records
Records = list[Json]


def with_members(records: Records, place: int, **members: Any) -> Records:
    changed = copy.deepcopy(records)
    changed[place - 1] |= members
    return relinked(changed)


def without(records: Records, *places: int) -> Records:
    return relinked([each for at, each in enumerate(records, 1) if at not in places])


def of(story: Story) -> Records:
    return story.records


def lacking(records: Records, place: int, name: str) -> Records:
    changed = copy.deepcopy(records)
    del changed[place - 1][name]
    return relinked(changed)


FORGED: dict[str, tuple[type[RefusedError], Callable[[], Records]]] = {
    "no record": (errors.NoRecordError, list),
    "an unknown version": (errors.RecordVersionError, lambda: with_members(BUY, 3, version=4)),
    "a version that is text": (
        errors.RecordVersionError,
        lambda: with_members(BUY, 3, version="3"),
    ),
    "a version that is true": (
        errors.RecordVersionError,
        lambda: with_members(STORIES["begun-with-version-1"].records[:1], 1, version=True),
    ),
    "a kind that is a list": (
        errors.RecordVersionError,
        lambda: with_members(BUY, 2, kind=["provider.callback"]),
    ),
    "an unknown kind": (errors.RecordVersionError, lambda: with_members(BUY, 2, kind="user.note")),
    "an unknown member": (errors.RecordMemberError, lambda: with_members(BUY, 3, note="gift")),
    "a missing member": (errors.RecordMemberError, lambda: lacking(BUY, 3, "rate")),
    "a number as text": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, status_sequence="1"),
    ),
    "true as a number": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, status_sequence=True),
    ),
    "an amount that is a number": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, crypto_amount=25),
    ),
    "an amount with an exponent": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, crypto_amount="1e3"),
    ),
    "an amount in another form": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, crypto_amount="25.50"),
    ),
    "digits of another script": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, crypto_amount="٢٥"),
    ),
    "a moment in another form": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, updated_at="2026-03-01 09:03:00Z"),
    ),
    "a moment with needless zeros": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, recorded_at="2026-03-01T09:03:00.000000Z"),
    ),
    "a moment that is none": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, recorded_at="2026-13-01T09:03:00Z"),
    ),
    "an id in capitals": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, id=BUY[2]["id"].upper()),
    ),
    "a shortened hash": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, address_sha256="ab"),
    ),
    "terms that are not on the list": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 1, fee_terms="free"),
    ),
    "a status that is none": (
        errors.RecordMemberError,
        lambda: with_members(BUY, 3, status="pending"),
    ),
    "half of a surrogate pair": (EncodingError, lambda: [BUY[0] | {"currency": "\ud800"}]),
    "a record left out": (errors.SequenceError, lambda: BUY[:3] + BUY[4:]),
    "two records exchanged": (errors.SequenceError, lambda: [BUY[0], BUY[2], BUY[1], *BUY[3:]]),
    "a record twice": (errors.SequenceError, lambda: BUY[:3] + BUY[2:]),
    "the first record left out": (errors.SequenceError, lambda: BUY[1:]),
    "a record altered": (
        errors.ChainLinkError,
        lambda: [BUY[0] | {"crypto_amount": "2500"}, *BUY[1:]],
    ),
    "a first record with one before": (
        errors.ChainLinkError,
        lambda: [BUY[0] | {"previous_sha256": hashes_of(BUY)[0]}, *BUY[1:]],
    ),
    "an id twice": (errors.RecordIdError, lambda: with_members(BUY, 3, id=BUY[1]["id"])),
    "an older version after a newer one": (
        errors.VersionOrderError,
        lambda: of(copy.deepcopy(STORIES["sandbox"]).older("completed", 2)),
    ),
    "another transaction's record": (
        errors.OtherTransactionError,
        lambda: with_members(
            BUY, 2, merchant_transaction_id=REFUNDED[0]["merchant_transaction_id"]
        ),
    ),
    "another partner": (
        errors.OtherTransactionError,
        lambda: with_members(BUY, 4, partner_id="ptr_x"),
    ),
    "another environment": (
        errors.OtherTransactionError,
        lambda: with_members(BUY, 4, environment="sandbox"),
    ),
    "another currency": (
        errors.OtherTransactionError,
        lambda: with_members(BUY, 3, currency="BTC"),
    ),
    "a purchase that becomes a sale": (
        errors.OtherTransactionError,
        lambda: with_members(BUY, 5, type="sell"),
    ),
    "another creation": (
        errors.OtherTransactionError,
        lambda: with_members(BUY, 5, created_at="2026-02-01T09:00:00Z"),
    ),
    "a time that goes back": (
        errors.RecordTimeError,
        lambda: with_members(BUY, 4, recorded_at=BUY[0]["recorded_at"]),
    ),
    "recorded before it was created": (
        errors.RecordTimeError,
        lambda: with_members(BUY[:1], 1, recorded_at="2026-03-01T08:00:00Z"),
    ),
    "a status before the one before": (
        errors.RecordTimeError,
        lambda: with_members(
            BUY, 5, updated_at=BUY[0]["recorded_at"], occurred_at=BUY[0]["recorded_at"]
        ),
    ),
    "another occurred_at": (
        errors.RecordTimeError,
        lambda: with_members(BUY, 5, occurred_at="2026-03-02T09:00:00Z"),
    ),
    "no opening": (errors.OpeningError, lambda: without(BUY, 1)),
    "a second opening": (
        errors.OpeningError,
        lambda: relinked(
            [*BUY[:1], BUY[0] | {"id": BUY[4]["id"], "recorded_at": BUY[1]["recorded_at"]}]
        ),
    ),
    "an opening after version 2": (
        errors.OpeningError,
        lambda: of(copy.deepcopy(STORIES["begun-with-version-2"]).opened()),
    ),
    "completed after failed": (
        errors.StatusError,
        lambda: of(copy.deepcopy(STORIES["expired"]).status("completed", "provider")),
    ),
    "completed without processing": (
        errors.StatusError,
        lambda: of(Story("leap").opened().status("completed", "provider")),
    ),
    "processing twice": (
        errors.StatusError,
        lambda: of(copy.deepcopy(STORIES["sandbox"]).status("processing", "provider")),
    ),
    "cancelled after it was paid": (
        errors.StatusError,
        lambda: of(copy.deepcopy(STORIES["sandbox"]).status("cancelled", "provider")),
    ),
    "a failure without a reason": (
        errors.StatusError,
        lambda: with_members(STORIES["expired"].records, 2, failure_reason=""),
    ),
    "a reason without a failure": (
        errors.StatusError,
        lambda: with_members(BUY, 5, failure_reason="other"),
    ),
    "another number among the changes": (
        errors.StatusSequenceError,
        lambda: with_members(BUY, 5, status_sequence=3),
    ),
    "a change that no callback caused": (errors.CauseError, lambda: without(BUY, 2)),
    "a callback that caused nothing": (
        errors.CauseError,
        lambda: with_members(BUY, 5, caused_by="provider"),
    ),
    "a callback at the end": (errors.CauseError, lambda: BUY[:4]),
    "a resolution that caused nothing": (errors.CauseError, lambda: RESOLVED[:4]),
    "a resolution as something else": (
        errors.CauseError,
        lambda: with_members(RESOLVED, 4, status="failed"),
    ),
    "an operator's change without a resolution": (
        errors.CauseError,
        lambda: without(RESOLVED, 4, 6),
    ),
    "a confirmation of another end": (
        errors.CauseError,
        lambda: with_members(RESOLVED, 6, status="failed"),
    ),
    "a success because time was over": (
        errors.CauseError,
        lambda: with_members(STORIES["cancelled"].records, 2, caused_by="expiry"),
    ),
    "a refund of what was never paid": (
        errors.RefundError,
        lambda: of(copy.deepcopy(STORIES["cancelled"]).refunded("requested", "operator")),
    ),
    "refunded without a request": (errors.RefundError, lambda: without(REFUNDED, 5, 6)),
    "a second charge-back": (
        errors.RefundError,
        lambda: of(copy.deepcopy(STORIES["refunded"]).refunded("charged_back", "provider")),
    ),
    "refunded without an amount": (
        errors.RefundError,
        lambda: with_members(REFUNDED, 8, refund_amount=""),
    ),
    "a refund that a later status keeps silent about": (
        errors.RefundError,
        lambda: with_members(
            Story("silent")
            .opened()
            .status("processing", "provider")
            .refunded("requested", "operator")
            .status("failed", "provider")
            .records,
            4,
            refund_status="none",
        ),
    ),
    "a refund of nothing": (
        errors.MoneyError,
        lambda: with_members(REFUNDED, 8, refund_amount="0.00"),
    ),
    "no coins": (errors.MoneyError, lambda: with_members(BUY, 5, crypto_amount="0")),
    "a session of no coins": (errors.MoneyError, lambda: with_members(BUY, 1, crypto_amount="0")),
    "money without a currency": (errors.MoneyError, lambda: with_members(BUY, 5, fiat_currency="")),
    "money of zero": (errors.MoneyError, lambda: with_members(BUY, 5, fiat_amount="0.00")),
    "money that nobody paid": (
        errors.MoneyError,
        lambda: with_members(
            STORIES["cancelled"].records, 2, fiat_amount="5.00", fiat_currency="EUR"
        ),
    ),
    "money of a failed sale": (
        errors.MoneyError,
        lambda: with_members(
            STORIES["sell-failed"].records, 4, fiat_amount="5.00", fiat_currency="EUR"
        ),
    ),
    "a fee without a rate": (errors.MoneyError, lambda: with_members(BUY, 5, rate="")),
    "a fee above all that was paid": (
        errors.MoneyError,
        lambda: with_members(BUY, 5, fiat_fee="30.00"),
    ),
    "a rate of zero": (errors.MoneyError, lambda: with_members(BUY, 5, rate="0")),
}
