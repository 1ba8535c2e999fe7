"""Where a user stands, and what is shown of an address."""

from uuid import UUID

import pytest

from proof.ramp.providers.protocols import Attempt, AttemptResult, PaymentMethod, Progress
from proof.ramp.sessions.state import Step, masked, step_of
from proof.ramp.types import KycStatus, Status, TransactionType

BUY, SELL = TransactionType.BUY, TransactionType.SELL
VERIFIED = KycStatus.VERIFIED


def progress(
    kyc: KycStatus = VERIFIED, result: AttemptResult | None = None, *, closed: bool = False
) -> Progress:
    attempt = None if result is None else Attempt(UUID(int=1), PaymentMethod.CARD, result)
    return Progress(kyc, "success", attempt, closed=closed)


@pytest.mark.parametrize("kind", TransactionType)
@pytest.mark.parametrize("seen", [None, progress(), progress(KycStatus.FAILED)])
def test_the_status_comes_before_what_the_provider_shows(
    kind: TransactionType, seen: Progress | None
) -> None:
    for status in Status:
        step = step_of(status, kind, seen)
        assert (step is Step.DONE) == status.terminal
        assert (step is Step.PROCESSING) == (status is Status.PROCESSING)


@pytest.mark.parametrize(
    ("kind", "seen", "step"),
    [
        (BUY, None, Step.HANDOVER),
        (SELL, None, Step.HANDOVER),
        *[
            (kind, progress(kyc), Step.KYC)
            for kind in TransactionType
            for kyc in KycStatus
            if kyc is not VERIFIED
        ],
        (BUY, progress(), Step.PAY),
        (BUY, progress(result=AttemptResult.DECLINED), Step.PAY),
        (BUY, progress(result=AttemptResult.CHALLENGE), Step.CHALLENGE),
        (BUY, progress(result=AttemptResult.CAPTURED, closed=True), Step.PROCESSING),
        (SELL, progress(), Step.DEPOSIT),
        (SELL, progress(closed=True), Step.PROCESSING),
        (BUY, progress(KycStatus.FAILED, closed=True), Step.PROCESSING),
    ],
)
def test_a_pending_user_is_where_the_provider_has_him(
    kind: TransactionType, seen: Progress | None, step: Step
) -> None:
    assert step_of(Status.PENDING, kind, seen) is step


def test_an_address_is_shown_by_its_ends() -> None:
    assert masked("TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf") == "TXYZop…AeBf"
    assert masked("short") == "short"
    assert masked("") == ""
