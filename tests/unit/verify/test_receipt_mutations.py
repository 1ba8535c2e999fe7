"""A share of the seeded mutations of receipts; `make forge` runs all 100,000."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.support.receipt_mutations import Mutations, run
from tests.support.receipts import KEY

from proof.verify import Established, verify_payload
from proof.verify.receipts import receipt
from proof.verify.receipts.disclosure import Disclosure

SHARE = 5_000


def test_no_mutation_is_accepted_as_another_statement() -> None:
    found = run(SHARE)
    by_name: Counter[str] = Counter()
    by_verdict: Counter[str] = Counter()
    for (name, verdict), times in found.items():
        by_name[name] += times
        by_verdict[verdict] += times
    assert len(by_name) == 16
    assert min(by_name.values()) > SHARE // 40
    # What stays right is what a proof says beside its arithmetic, and parts of another receipt that fit.
    assert by_verdict["genuine"] < SHARE // 5
    assert len(by_verdict) > 30


@pytest.mark.parametrize("number", range(3))
def test_every_receipt_that_was_given_out_is_accepted(number: int) -> None:
    mutations = Mutations()
    assert {mutations.judge(raw) for raw in mutations.texts[number::3]} == {"genuine"}


def test_a_verifier_that_believes_every_signature_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipt, "verify_signature", lambda *_: KEY.key)
    with pytest.raises(AssertionError, match="another chain, or another time"):
        run(SHARE)


def test_a_verifier_that_believes_every_disclosure_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def believe(given: list[dict[str, str]], _: object) -> tuple[Disclosure, ...]:
        return tuple(Disclosure(1, "address", each["value"]) for each in given)

    monkeypatch.setattr(receipt, "verify_disclosures", believe)
    with pytest.raises(AssertionError, match="another value"):
        run(SHARE)


def test_a_verifier_that_takes_any_proof_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfAnything(bytes):
        def __ne__(self, _: object) -> bool:
            return False

    def about_anything(payload: dict[str, object], **trust: Any) -> Established:
        found = verify_payload(payload, **trust)
        return replace(found, leaf=OfAnything(found.leaf))

    monkeypatch.setattr(receipt, "verify_payload", about_anything)
    with pytest.raises(AssertionError, match="an earlier time"):
        run(SHARE)
