"""Chains of records: the good ones, and each rule that a record can break, re-chained as a forger would."""

from typing import Any

import pytest
from tests.support.receipt_forgeries import FORGED, STORIES
from tests.support.receipts import canonical, hashes_of

from proof.verify import RefusedError
from proof.verify.errors import EncodingError, MemberError, NumberError
from proof.verify.receipts import errors, records
from proof.verify.receipts.records import read_chain
from proof.verify.strict_json import canonical_json

BUY = STORIES["buy-completed"].records


@pytest.mark.parametrize("name", STORIES)
def test_a_good_chain_is_read(name: str) -> None:
    story = STORIES[name]
    chain = read_chain(story.records)
    assert [record.sha256.hex() for record in chain.records] == hashes_of(story.records)
    statuses = [
        each["status"] for each in story.records if "created_at" in each and "status" in each
    ]
    assert chain.status == (statuses[-1] if statuses else "pending")
    refunds = [
        each["refund_status"] for each in story.records if "kind" in each and "caused_by" in each
    ]
    assert chain.refund_status == (refunds[-1] if refunds else "none")


def test_every_prefix_that_an_operator_writes_is_a_chain() -> None:
    # A callback and what it caused are written together, so none ends with a callback.
    assert read_chain(BUY[:1]).status == "pending"
    assert read_chain(BUY[:3]).status == "processing"


@pytest.mark.parametrize("name", FORGED)
def test_what_breaks_a_rule_is_refused(name: str) -> None:
    refused, make = FORGED[name]
    with pytest.raises(refused) as caught:
        read_chain(make())
    assert type(caught.value) is refused


def test_every_refusal_of_a_chain_is_provoked() -> None:
    named = {each for each in vars(records).values() if isinstance(each, type)}
    raised = {each for each in named if issubclass(each, RefusedError)} - {errors.RecordHashError}
    assert raised == {refused for refused, _ in FORGED.values()} - {EncodingError}


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": {"z": [], "y": [1, -5, 2**53 - 1]}, "text": 'é \u2028 \x00\x1f\x7f "\\/ 𝄞'},
        "\b\t\n\f\r",
        [True, False, None],
    ],
)
def test_canonical_json_is_that_of_another_implementation(value: Any) -> None:
    assert canonical_json(value) == canonical(value)


@pytest.mark.parametrize(
    ("value", "refused"),
    [({"é": 1}, MemberError), ([2**53], NumberError), (["\udc00"], EncodingError)],
)
def test_what_has_no_canonical_form_is_refused(value: Any, refused: type[RefusedError]) -> None:
    with pytest.raises(refused):
        canonical_json(value)
