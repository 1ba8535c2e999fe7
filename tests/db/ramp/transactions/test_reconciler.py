"""Asking providers, ending what is over, and telling of what is stuck."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from tests.db.ramp.transactions.scene import (
    START,
    Reconciliation,
    execute,
    open_session,
)
from tests.support.ramp import make_transaction, published_of, said

from proof.ramp import clock as ramp_clock
from proof.ramp.errors import ProviderUnavailableError
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions import polling
from proof.ramp.transactions.reconciler import LEASE, LONGEST_PAUSE


def test_a_lost_callback_ends_right_all_the_same(scene: Reconciliation) -> None:
    made = scene.made()
    paid, sent = said(made, ProviderStatus.PROCESSING), said(made, ProviderStatus.COMPLETED)
    scene.provider.answers[made] = [paid, sent]
    scene.step()
    assert scene.row(made)["status"] == "completed"
    bodies = scene.run(published_of(scene.database, made))
    assert [json.loads(body)["status"] for body in bodies] == ["processing", "completed"]


def test_nobody_is_asked_about_a_widget_never_opened(scene: Reconciliation) -> None:
    made = scene.made(opened=False)
    scene.step()
    assert (scene.provider.asked, scene.row(made)["status"]) == ([], "pending")
    scene.clock.turn(hours=1)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["updated_at"]) == ("failed", scene.clock.now())


def test_looks_are_ever_further_apart_until_it_moves(scene: Reconciliation) -> None:
    made = scene.made()
    pauses = []
    for _ in range(9):
        scene.step()
        next_at = scene.row(made)["next_poll_at"]
        pauses.append((next_at - scene.clock.now()).total_seconds())
        scene.clock.moment = next_at
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    scene.provider.answers[made] = [said(made, ProviderStatus.PROCESSING)]
    scene.step()
    row = scene.row(made)
    assert row["next_poll_at"] - scene.clock.now() == polling.FIRST_POLL


def test_a_session_that_is_over_fails_once_the_provider_was_asked(scene: Reconciliation) -> None:
    made = scene.made()
    scene.provider.answers[made] = ProviderUnavailableError("away")
    scene.clock.turn(hours=25)
    scene.step()
    assert scene.row(made)["status"] == "pending"

    scene.provider.answers[made] = [said(made, ProviderStatus.DECLINED)]
    scene.clock.turn(hours=1)
    scene.step()
    assert scene.row(made)["status"] == "failed"
    assert len(scene.provider.asked) == 2


def test_a_session_that_is_over_without_an_attempt_has_expired(scene: Reconciliation) -> None:
    made = scene.made()
    scene.provider.answers[made] = []
    scene.clock.turn(hours=25)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["failure_reason"]) == ("failed", "session_expired")


@pytest.mark.parametrize("verdict", [ProviderStatus.PENDING, ProviderStatus.UNKNOWN])
def test_an_operation_that_may_still_take_money_keeps_it_open_and_alerts(
    scene: Reconciliation, verdict: ProviderStatus
) -> None:
    made = scene.made()
    scene.provider.answers[made] = [said(made, verdict)]
    scene.clock.turn(hours=25)
    scene.step()
    assert scene.row(made)["status"] == "pending"
    scene.clock.turn(hours=24)
    scene.step()
    expected = {"pending": "stuck", "unknown": "unknown_status"}[verdict]
    assert scene.row(made)["alert"] == expected


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("sell", [ProviderStatus.UNKNOWN]),
        ("buy", [ProviderStatus.UNKNOWN, ProviderStatus.DECLINED]),
    ],
)
def test_a_status_we_do_not_know_ends_nothing(
    scene: Reconciliation, kind: str, verdicts: list[ProviderStatus]
) -> None:
    """The window of a sell is over and the attempt of a buy is dead: alone, either would end it."""
    made = scene.made(kind)
    if kind == "sell":
        shown = "UPDATE ramp_transactions SET deposit_shown_at = $1"
        scene.run(execute(scene.database, shown, START))
    scene.provider.answers[made] = [said(made, verdict) for verdict in verdicts]
    scene.clock.turn(hours=25)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["alert"]) == ("pending", "unknown_status")

    scene.provider.answers[made] = [said(made, ProviderStatus.DECLINED)]
    scene.clock.turn(hours=2)
    scene.step()
    assert scene.row(made)["status"] == "failed"


def test_a_payment_found_at_the_last_look_counts(scene: Reconciliation) -> None:
    made = scene.made()
    scene.provider.answers[made] = [said(made, ProviderStatus.PROCESSING)]
    scene.clock.turn(hours=25)
    scene.step()
    assert scene.row(made)["status"] == "processing"


def test_a_sell_fails_six_hours_after_its_address_was_shown(scene: Reconciliation) -> None:
    made = scene.made("sell")
    scene.run(execute(scene.database, "UPDATE ramp_transactions SET deposit_shown_at = $1", START))
    scene.provider.answers[made] = [said(made, ProviderStatus.PENDING)]
    scene.clock.turn(hours=5, minutes=59)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["next_poll_at"]) == ("pending", START + timedelta(hours=6))
    scene.clock.turn(minutes=1)
    scene.step()
    assert scene.row(made)["status"] == "failed"


def test_a_providers_own_widget_shows_the_address_too(scene: Reconciliation) -> None:
    made = scene.made("sell")
    waiting = said(made, ProviderStatus.PENDING, awaits_deposit=True, occurred_at=START)
    scene.provider.answers[made] = [waiting]
    scene.step()
    later = replace(waiting, occurred_at=START + timedelta(hours=1))
    scene.provider.answers[made] = [waiting, later]
    scene.clock.turn(hours=5, minutes=59)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["deposit_shown_at"]) == ("pending", START)
    assert row["next_poll_at"] == START + timedelta(hours=6)
    scene.clock.turn(minutes=1)
    scene.step()
    assert scene.row(made)["status"] == "failed"


def test_a_time_from_before_the_transaction_is_not_when_its_address_was_shown(
    scene: Reconciliation,
) -> None:
    made = scene.made("sell")
    long_ago = START - timedelta(days=9)
    scene.provider.answers[made] = [
        said(made, ProviderStatus.PENDING, awaits_deposit=True, occurred_at=long_ago)
    ]
    for _ in range(2):
        scene.step()
        scene.clock.turn(minutes=2)
    row = scene.row(made)
    assert (row["status"], row["deposit_shown_at"]) == ("pending", START)


def test_a_sandbox_clock_moved_ends_it_at_once(scene: Reconciliation) -> None:
    made = scene.made(opened=False)
    scene.step()

    async def move() -> None:
        async with scene.database.transaction() as tx:
            await ramp_clock.advance(tx, scene.sandbox, 3600, scene.clock)

    scene.run(move())
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["updated_at"]) == ("failed", START + timedelta(hours=1))


def test_coins_in_flight_for_a_day_alert_once(scene: Reconciliation) -> None:
    made = scene.made()
    scene.provider.answers[made] = [said(made, ProviderStatus.PROCESSING)]
    scene.step()
    scene.clock.turn(hours=24, seconds=1)
    scene.step()
    row = scene.row(made)
    assert (row["status"], row["alert"], row["alerted_at"]) == (
        "processing",
        "stuck",
        scene.clock.now(),
    )
    scene.clock.turn(seconds=LONGEST_PAUSE.total_seconds())
    scene.step()
    assert scene.row(made)["alerted_at"] == row["alerted_at"]


def test_a_broken_adapter_holds_up_only_its_own(scene: Reconciliation) -> None:
    broken, whole = (scene.made() for _ in range(2))
    scene.provider.answers[broken] = ZeroDivisionError("a fault of ours")
    scene.provider.answers[whole] = [said(whole, ProviderStatus.COMPLETED)]
    scene.step()
    assert scene.row(whole)["status"] == "completed"
    row = scene.row(broken)
    assert (row["status"], row["next_poll_at"]) == ("pending", scene.clock.now() + LEASE)


def test_an_answer_about_another_transaction_is_not_applied(
    scene: Reconciliation, owner: int
) -> None:
    other = scene.run(make_transaction(scene.database, scene.vault, owner, at=START))
    scene.run(open_session(scene.database, other))
    made = scene.made()
    scene.provider.answers[made] = [said(other, ProviderStatus.COMPLETED)]
    scene.step()
    assert scene.row(other)["status"] == "pending"


def test_a_worker_that_died_after_its_claim_is_followed_by_another(scene: Reconciliation) -> None:
    made = scene.made()
    scene.provider.answers[made] = [said(made, ProviderStatus.COMPLETED)]

    async def claim_and_die() -> list[UUID]:
        async with scene.database.transaction() as tx:
            return await polling.claim_due(tx, scene.clock.now(), scene.clock.now() + LEASE, 10)

    assert scene.run(claim_and_die()) == [made]
    scene.step()
    assert scene.provider.asked == []
    scene.clock.turn(seconds=LEASE.total_seconds())
    scene.step()
    assert scene.row(made)["status"] == "completed"


def test_a_provider_that_is_away_is_asked_about_one_and_not_waited_for_by_all(
    scene: Reconciliation,
) -> None:
    made = [scene.made() for _ in range(3)]
    for item in made:
        scene.provider.answers[item] = ProviderUnavailableError("away")
        scene.run(scene.reconciler.poll(item))
    assert len(scene.provider.asked) == 1

    scene.clock.turn(hours=25)
    scene.provider.answers = {item: [said(item, ProviderStatus.DECLINED)] for item in made}
    for item in made:
        scene.run(scene.reconciler.poll(item))
    assert len(scene.provider.asked) == 4
    assert {scene.row(item)["status"] for item in made} == {"failed"}


def test_an_answer_that_cannot_be_written_is_told_once(scene: Reconciliation) -> None:
    made = scene.made()
    # PostgreSQL takes no NUL in text.
    scene.provider.answers[made] = [said(made, ProviderStatus.PROCESSING, said="buy: \0")]
    alerted = []
    for _ in range(2):
        scene.step()
        row = scene.row(made)
        assert (row["status"], row["alert"]) == ("pending", "not_applied")
        assert row["next_poll_at"] > scene.clock.now()
        alerted.append(row["alerted_at"])
        scene.clock.moment = row["next_poll_at"]
    assert alerted == [START, START]
