"""The simulator's rules, without a database: what each outcome comes to, and what no sequence can do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import ConflictError
from proof.ramp.providers.outcomes import OUTCOMES, Name
from proof.ramp.providers.protocols import AttemptResult, PaymentMethod, ProviderStatus
from proof.ramp.providers.simulator.play import DEPOSIT_WINDOW, Operation, Play, Post, first_kyc
from proof.ramp.providers.simulator.wire import VERDICTS, Leg
from proof.ramp.types import KycStatus, Status, TransactionType

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
BUY, SELL = TransactionType.BUY, TransactionType.SELL
ENDS = {
    ProviderStatus.COMPLETED: Status.COMPLETED,
    ProviderStatus.FAILED: Status.FAILED,
    ProviderStatus.CANCELLED: Status.CANCELLED,
    ProviderStatus.UNDELIVERABLE: Status.PROCESSING,
}


def operation(
    kind: TransactionType = BUY,
    outcome: Name = Name.SUCCESS,
    kyc: KycStatus = KycStatus.VERIFIED,
) -> Operation:
    return Operation(
        id="sim_1",
        kind=kind,
        crypto_amount="25.5",
        fiat_currency="EUR",
        fiat_amount="22.95",
        outcome=outcome,
        kyc=kyc,
    )


def paid(play: Play, attempt: UUID | None = None, outcome: Name | None = None) -> UUID:
    found = attempt or uuid4()
    play.pay(found, PaymentMethod.CARD, outcome, NOW)
    return found


def said(play: Play) -> list[str]:
    return [f"{item.leg}: {item.status}" for item in play.operation.said]


def verdicts(posts: list[Post]) -> list[ProviderStatus]:
    ordered = sorted(posts, key=lambda item: item.at)
    return [VERDICTS[post.statement.leg, post.statement.status] for post in ordered]


def scripted(kind: TransactionType, outcome: Name) -> Play:
    play = Play(operation(kind, outcome, KycStatus.NOT_STARTED))
    play.script(outcome, NOW)
    play.run_due(LATER)
    return play


def every_case() -> Iterator[tuple[TransactionType, Name]]:
    for outcome in OUTCOMES:
        for kind in outcome.types:
            yield kind, outcome.name


@pytest.mark.parametrize(("kind", "outcome"), sorted(every_case()))
def test_simulating_an_outcome_ends_as_the_table_says(kind: TransactionType, outcome: Name) -> None:
    play = scripted(kind, outcome)
    end = [item for item in play.operation.said if item.leg is not Leg.REFUND][-1]
    expected = next(item.ends for item in OUTCOMES if item.name is outcome)
    if (kind, outcome) == (SELL, Name.DELIVERY_FAILED):
        expected = Status.FAILED
    assert ENDS[VERDICTS[end.leg, end.status]] is expected
    assert play.operation.steps == ()
    assert play.operation.closed
    failed = outcome is Name.KYC_FAILED
    assert play.kyc is (KycStatus.FAILED if failed else KycStatus.VERIFIED)


def test_a_purchase_has_two_legs_in_their_order() -> None:
    play = scripted(BUY, Name.SUCCESS)
    assert said(play) == ["payment: captured", "delivery: sent", "delivery: delivered"]
    moments = [item.at for item in play.operation.said]
    assert moments == sorted(moments)
    assert [statement.leg for statement in play.operation.newest()] == [Leg.PAYMENT, Leg.DELIVERY]


@pytest.mark.parametrize(
    ("outcome", "steps"),
    [
        (Name.REFUNDED, ["refund: requested", "refund: refunded"]),
        (Name.CHARGED_BACK, ["refund: charged_back"]),
    ],
)
def test_a_payment_goes_back_after_its_purchase_went_well(outcome: Name, steps: list[str]) -> None:
    play = scripted(BUY, outcome)
    assert said(play) == [*said(scripted(BUY, Name.SUCCESS)), *steps]
    moments = [item.at for item in play.operation.said]
    assert moments == sorted(set(moments))
    assert play.operation.end is ProviderStatus.COMPLETED


def test_a_sale_waits_for_the_deposit_and_pays_out() -> None:
    assert said(scripted(SELL, Name.SUCCESS)) == [
        "deposit: waiting",
        "deposit: received",
        "payout: sent",
        "payout: paid",
    ]


def test_a_declined_attempt_can_be_retried_under_the_same_operation() -> None:
    play = Play(operation(outcome=Name.DECLINED_THEN_SUCCESS))
    paid(play)
    assert play.operation.attempts[-1].result is AttemptResult.DECLINED
    assert not play.operation.closed
    paid(play)
    play.run_due(LATER)
    assert said(play)[0] == "payment: declined"
    assert said(play)[-1] == "delivery: delivered"


def test_the_third_declined_attempt_closes_the_purchase() -> None:
    play = Play(operation(outcome=Name.DECLINED))
    for _ in range(5):
        paid(play)
    assert said(play) == ["payment: declined", "payment: declined", "payment: refused"]


def test_a_card_brings_its_own_outcome() -> None:
    play = Play(operation())
    paid(play, outcome=Name.DECLINED)
    assert said(play) == ["payment: declined"]


@pytest.mark.parametrize(
    ("passed", "result"), [(True, AttemptResult.CAPTURED), (False, AttemptResult.DECLINED)]
)
def test_the_bank_asks_once_more(passed: bool, result: AttemptResult) -> None:
    play = Play(operation(outcome=Name.CHALLENGE))
    attempt = paid(play)
    paid(play)  # another attempt while the bank asks is none
    assert [item.result for item in play.operation.attempts] == [AttemptResult.CHALLENGE]
    play.answer_challenge(uuid4(), passed=passed, now=NOW)
    assert play.operation.attempts[-1].result is AttemptResult.CHALLENGE
    play.answer_challenge(attempt, passed=passed, now=NOW)
    play.answer_challenge(attempt, passed=not passed, now=NOW)
    assert play.operation.attempts[-1].result is result


def test_the_same_attempt_said_twice_is_one() -> None:
    play = Play(operation(outcome=Name.DECLINED))
    attempt = paid(play)
    before = play.operation
    paid(play, attempt)
    assert play.operation is before


def test_nothing_is_paid_or_deposited_before_the_identity_is_verified() -> None:
    with pytest.raises(ConflictError):
        paid(Play(operation(kyc=KycStatus.PENDING)))
    with pytest.raises(ConflictError):
        Play(operation(SELL, kyc=KycStatus.NOT_STARTED)).show_deposit(NOW)


def test_a_slow_identity_takes_ten_minutes() -> None:
    play = Play(operation(outcome=Name.KYC_SLOW, kyc=KycStatus.NOT_STARTED))
    play.submit_kyc(NOW)
    known = []
    for seconds in (599, 600):
        play.run_due(NOW + timedelta(seconds=seconds))
        known.append(play.operation.kyc)
    assert known == [KycStatus.PENDING, KycStatus.VERIFIED]


def test_giving_up_ends_it_until_it_was_paid() -> None:
    play = Play(operation())
    play.cancel(NOW)
    play.cancel(NOW)
    assert said(play) == ["payment: cancelled"]
    play = Play(operation())
    paid(play)
    play.cancel(NOW)
    play.run_due(LATER)
    assert said(play)[-1] == "delivery: delivered"


def test_giving_up_while_the_identity_is_looked_at_leaves_the_look() -> None:
    play = Play(operation(kyc=KycStatus.NOT_STARTED))
    play.submit_kyc(NOW)
    play.cancel(NOW)
    play.run_due(LATER)
    assert play.kyc is KycStatus.VERIFIED
    assert said(play) == ["payment: cancelled"]


def test_a_deposit_that_never_comes_expires_after_the_window() -> None:
    play = Play(operation(SELL, Name.DEPOSIT_NEVER_ARRIVES))
    play.show_deposit(NOW)
    play.show_deposit(NOW + timedelta(hours=1))
    assert play.operation.deposit_shown_at == NOW
    play.run_due(NOW + DEPOSIT_WINDOW - timedelta(seconds=1))
    assert said(play) == ["deposit: waiting"]
    play.run_due(NOW + DEPOSIT_WINDOW)
    assert said(play)[-1] == "deposit: expired"


def test_callbacks_get_lost_come_twice_late_or_out_of_order() -> None:
    plain = scripted(BUY, Name.SUCCESS).posts
    assert scripted(BUY, Name.CALLBACK_LOST).posts == []
    assert len(scripted(BUY, Name.CALLBACK_TWICE).posts) == 2 * len(plain)
    late = scripted(BUY, Name.CALLBACK_LATE).posts
    assert min(post.at - post.statement.at for post in late) == timedelta(minutes=10)
    assert verdicts(plain)[-1] is ProviderStatus.COMPLETED
    assert verdicts(scripted(BUY, Name.CALLBACKS_OUT_OF_ORDER).posts)[0] is ProviderStatus.COMPLETED


def test_a_scripted_user_is_not_scripted_otherwise() -> None:
    play = Play(operation(kyc=KycStatus.NOT_STARTED))
    play.script(Name.KYC_SLOW, NOW)
    before = play.operation
    play.script(Name.KYC_SLOW, NOW)
    assert play.operation is before
    with pytest.raises(ConflictError):
        play.script(Name.SUCCESS, NOW)


def test_what_a_person_began_is_not_scripted() -> None:
    play = Play(operation(outcome=Name.DECLINED))
    paid(play)
    with pytest.raises(ConflictError):
        play.script(Name.SUCCESS, NOW)


def test_a_verified_user_is_asked_again_only_where_the_outcome_is_about_it() -> None:
    for item in Name:
        asked = item in {Name.KYC_FAILED, Name.KYC_SLOW}
        expected = KycStatus.NOT_STARTED if asked else KycStatus.VERIFIED
        assert first_kyc(item, KycStatus.VERIFIED) is expected
    assert first_kyc(Name.SUCCESS, KycStatus.FAILED) is KycStatus.NOT_STARTED


Acts = st.lists(
    st.tuples(
        st.sampled_from(["kyc", "pay", "challenge", "deposit", "cancel", "run"]),
        st.integers(0, 8 * 3600),
        st.sampled_from([None, *Name]),
    ),
    max_size=25,
)


@given(st.sampled_from([BUY, SELL]), st.sampled_from(list(Name)), Acts)
def test_no_sequence_ends_twice_or_is_paid_and_given_up(
    kind: TransactionType, outcome: Name, acts: list[tuple[str, int, Name | None]]
) -> None:
    play, now = Play(operation(kind, outcome, KycStatus.NOT_STARTED)), NOW
    for act, seconds, card in acts:
        now += timedelta(seconds=seconds)
        play.run_due(now)
        before = play.operation
        try:
            _act(play, act, card, now)
        except ConflictError:
            assert play.operation == before
    play.run_due(now + timedelta(days=2))
    found = [
        VERDICTS[item.leg, item.status]
        for item in play.operation.said
        if item.leg is not Leg.REFUND
    ]
    final = [item for item in found if item in ENDS]
    assert len(final) <= 1
    assert not final or found[-1] in ENDS
    assert not (ProviderStatus.CANCELLED in found and ProviderStatus.PROCESSING in found)
    captured = [
        attempt for attempt in play.operation.attempts if attempt.result is AttemptResult.CAPTURED
    ]
    assert len(captured) <= 1
    moments = [item.at for item in play.operation.said]
    assert moments == sorted(moments)


def _act(play: Play, act: str, card: Name | None, now: datetime) -> None:
    match act:
        case "kyc":
            play.submit_kyc(now)
        case "pay":
            play.pay(uuid4(), PaymentMethod.CARD, card, now)
        case "challenge" if play.operation.attempts:
            last = play.operation.attempts[-1].id
            play.answer_challenge(last, passed=card is None, now=now)
        case "deposit":
            play.show_deposit(now)
        case "cancel":
            play.cancel(now)
