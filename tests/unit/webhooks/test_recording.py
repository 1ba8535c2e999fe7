"""When what attempts came to is written at once, and when it may be gathered."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from proof.core.clock import SystemClock
from proof.webhooks.breaker import BreakerChange, Finding
from proof.webhooks.recording import Recorder
from proof.webhooks.types import AttemptOutcome, DeliveryState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NONE: Any = None


@pytest.mark.parametrize(
    ("state", "subject", "may_wait"),
    [
        (DeliveryState.DELIVERED, None, True),
        (DeliveryState.PENDING, "tx_1", True),
        (DeliveryState.DELIVERED, "tx_1", False),
        (DeliveryState.FAILED, "tx_1", False),
    ],
)
def test_an_outcome_that_lets_the_next_delivery_out_is_written_at_once(
    state: DeliveryState, subject: str | None, may_wait: bool
) -> None:
    recorder = Recorder(NONE, SystemClock(), NONE)
    recorder.outcomes.append(AttemptOutcome(1, 1, state, "200", NOW))
    assert recorder.may_wait()
    recorder.outcomes.append(
        AttemptOutcome(2, 1, state, "200", NOW, endpoint_id=UUID(int=1), ordered_subject=subject)
    )
    assert recorder.may_wait() is may_wait


def test_a_verdict_is_written_at_once() -> None:
    recorder = Recorder(NONE, SystemClock(), NONE)
    recorder.verdicts.append(
        BreakerChange(UUID(int=1), "https://one.example/", Finding.ANSWERED, "200", NOW)
    )
    assert not recorder.may_wait()
