"""What the page is told of where a user stands, and what is shown of an address."""

import msgspec
import pytest
from tests.support.widget_states import Answerable, answerable
from tests.support.widget_truth import facts_of

from proof.ramp.providers.protocols import Progress, ProviderStatus
from proof.ramp.sessions.state import WidgetStep, end_of, masked
from proof.ramp.types import KycStatus, Status


@pytest.fixture(scope="module")
def answers() -> dict[str, Answerable]:
    """Played through when a test asks for them: while tests are collected, every worker of a parallel run
    would."""
    return answerable()


def test_an_answer_tells_what_has_happened(answers: dict[str, Answerable]) -> None:
    for name, (state, facts) in answers.items():
        told = facts_of(msgspec.to_builtins(state))
        assert (told.allowed, told.required) == (facts.allowed, facts.required), name


def test_a_step_is_what_the_facts_leave_to_do(answers: dict[str, Answerable]) -> None:
    for name, (state, facts) in answers.items():
        over = facts.required & {"complete", "cancelled", "failed"}
        assert (state.step is WidgetStep.DONE) == bool(over), name
        assert (state.step is WidgetStep.REVIEW) == ("delayed" in facts.required), name
        assert (state.step is WidgetStep.PROCESSING) == ("paid" in facts.required), name
        assert not state.status.terminal or state.end is state.status, name


def test_test_cards_are_the_simulators_alone(answers: dict[str, Answerable]) -> None:
    buying = [answer.state for answer in answers.values() if answer.state.type == "buy"]
    told = {(state.provider, bool(state.test_cards)) for state in buying}
    assert told == {("sandbox", True), ("mercuryo", False)}


def test_every_step_is_answered_but_the_hand_over_of_a_session_in_progress(
    answers: dict[str, Answerable],
) -> None:
    assert {answer.state.step for answer in answers.values()} == set(WidgetStep) - {
        WidgetStep.HANDOVER
    }


@pytest.mark.parametrize("verdict", ProviderStatus)
def test_only_bad_news_is_ahead_of_the_record(verdict: ProviderStatus) -> None:
    progress = Progress(KycStatus.VERIFIED, "success", end=verdict)
    expected = {
        ProviderStatus.FAILED: Status.FAILED,
        ProviderStatus.CANCELLED: Status.CANCELLED,
    }.get(verdict)
    assert end_of(Status.PENDING, progress) is expected


def test_an_address_is_shown_by_its_ends() -> None:
    assert masked("TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf") == "TXYZop…AeBf"
    assert masked("short") == "short"
    assert masked("") == ""
