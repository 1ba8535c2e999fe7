"""The words of the contract, and how long it says that a key is kept."""

from datetime import timedelta

from proof.ramp.sessions.queries import KEPT
from proof.ramp.types import FailureReason, Status


def test_the_words_are_the_contracts() -> None:
    assert {*Status} == {"pending", "processing", "completed", "failed", "cancelled"}
    assert {*FailureReason} == {
        "",
        "delivery_failed",
        "deposit_expired",
        "deposit_failed",
        "identity_refused",
        "other",
        "payment_declined",
        "payout_failed",
        "session_expired",
    }


def test_an_idempotency_key_is_kept_for_a_day() -> None:
    assert timedelta(hours=24) == KEPT
