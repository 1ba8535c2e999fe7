"""Asking providers, ending what is over, and telling of what is stuck."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.scene import (
    START,
    FakeProvider,
    TurnedClock,
    execute,
    open_session,
)
from tests.support.ramp import make_transaction, published_of, row_of, said

from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp import clock as ramp_clock
from proof.ramp.errors import ProviderUnavailableError
from proof.ramp.providers.protocols import Verdict
from proof.ramp.transactions import queries
from proof.ramp.transactions.reconciler import LEASE, LONGEST_PAUSE, Reconciler


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def reconciler(
    database: Database, vault: Vault, provider: FakeProvider, clock: TurnedClock
) -> Reconciler:
    return Reconciler(database, vault, provider, clock)


def opened(run: Run[Any], database: Database, vault: Vault, owner: int, kind: str = "buy") -> UUID:
    """A transaction whose widget was opened at once."""
    made: UUID = run(make_transaction(database, vault, owner, kind=kind, at=START))
    run(open_session(database, made, exchanged=True))
    return made


def test_a_lost_callback_ends_right_all_the_same(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
) -> None:
    made = opened(run, database, vault, sandbox)
    paid, sent = said(made, Verdict.PROCESSING), said(made, Verdict.COMPLETED)
    provider.answers[made] = [paid, sent]
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "completed"
    bodies = run(published_of(database, made))
    assert [json.loads(body)["status"] for body in bodies] == ["processing", "completed"]


def test_nobody_is_asked_about_a_widget_never_opened(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(open_session(database, made))
    run(reconciler.step())
    assert (provider.asked, run(row_of(database, made))["status"]) == ([], "pending")
    clock.turn(hours=1)
    run(reconciler.step())
    row = run(row_of(database, made))
    assert (row["status"], row["updated_at"]) == ("failed", clock.now())


def test_looks_are_ever_further_apart_until_it_moves(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    pauses = []
    for _ in range(9):
        run(reconciler.step())
        next_at = run(row_of(database, made))["next_poll_at"]
        pauses.append((next_at - clock.now()).total_seconds())
        clock.moment = next_at
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    provider.answers[made] = [said(made, Verdict.PROCESSING)]
    run(reconciler.step())
    row = run(row_of(database, made))
    assert row["next_poll_at"] - clock.now() == queries.FIRST_LOOK


def test_a_session_that_is_over_fails_once_the_provider_was_asked(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = ProviderUnavailableError("away")
    clock.turn(hours=25)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "pending"

    provider.answers[made] = [said(made, Verdict.DECLINED)]
    clock.turn(hours=1)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "failed"
    assert len(provider.asked) == 2


@pytest.mark.parametrize("verdict", [Verdict.PENDING, Verdict.UNKNOWN])
def test_an_operation_that_may_still_take_money_keeps_it_open_and_alerts(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
    verdict: Verdict,
) -> None:
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = [said(made, verdict)]
    clock.turn(hours=25)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "pending"
    clock.turn(hours=24)
    run(reconciler.step())
    expected = {"pending": "stuck", "unknown": "unknown_status"}[verdict]
    assert run(row_of(database, made))["alert"] == expected


def test_a_payment_found_at_the_last_look_counts(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = [said(made, Verdict.PROCESSING)]
    clock.turn(hours=25)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "processing"


def test_a_sell_fails_six_hours_after_its_address_was_shown(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox, "sell")
    run(execute(database, "UPDATE ramp_transactions SET deposit_shown_at = $1", START))
    provider.answers[made] = [said(made, Verdict.PENDING)]
    clock.turn(hours=5, minutes=59)
    run(reconciler.step())
    row = run(row_of(database, made))
    assert (row["status"], row["next_poll_at"]) == ("pending", START + timedelta(hours=6))
    clock.turn(minutes=1)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "failed"


def test_a_providers_own_widget_shows_the_address_too(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox, "sell")
    waiting = said(made, Verdict.PENDING, awaits_deposit=True, occurred_at=START)
    provider.answers[made] = [waiting]
    run(reconciler.step())
    later = replace(waiting, occurred_at=START + timedelta(hours=1))
    provider.answers[made] = [waiting, later]
    clock.turn(hours=5, minutes=59)
    run(reconciler.step())
    row = run(row_of(database, made))
    assert (row["status"], row["deposit_shown_at"]) == ("pending", START)
    assert row["next_poll_at"] == START + timedelta(hours=6)
    clock.turn(minutes=1)
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "failed"


def test_a_time_from_before_the_transaction_is_not_when_its_address_was_shown(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox, "sell")
    long_ago = START - timedelta(days=9)
    provider.answers[made] = [
        said(made, Verdict.PENDING, awaits_deposit=True, occurred_at=long_ago)
    ]
    for _ in range(2):
        run(reconciler.step())
        clock.turn(minutes=2)
    row = run(row_of(database, made))
    assert (row["status"], row["deposit_shown_at"]) == ("pending", START)


def test_a_sandbox_clock_moved_ends_it_at_once(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(open_session(database, made))
    run(reconciler.step())

    async def move() -> None:
        async with database.transaction() as tx:
            await ramp_clock.advance(tx, sandbox, 3600, clock)

    run(move())
    run(reconciler.step())
    row = run(row_of(database, made))
    assert (row["status"], row["updated_at"]) == ("failed", START + timedelta(hours=1))


def test_coins_in_flight_for_a_day_alert_once(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = [said(made, Verdict.PROCESSING)]
    run(reconciler.step())
    clock.turn(hours=24, seconds=1)
    run(reconciler.step())
    row = run(row_of(database, made))
    assert (row["status"], row["alert"], row["alerted_at"]) == ("processing", "stuck", clock.now())
    clock.turn(seconds=LONGEST_PAUSE.total_seconds())
    run(reconciler.step())
    assert run(row_of(database, made))["alerted_at"] == row["alerted_at"]


def test_a_broken_adapter_holds_up_only_its_own(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    broken, whole = (opened(run, database, vault, sandbox) for _ in range(2))
    provider.answers[broken] = ZeroDivisionError("a fault of ours")
    provider.answers[whole] = [said(whole, Verdict.COMPLETED)]
    run(reconciler.step())
    assert run(row_of(database, whole))["status"] == "completed"
    row = run(row_of(database, broken))
    assert (row["status"], row["next_poll_at"]) == ("pending", clock.now() + LEASE)


def test_an_answer_about_another_transaction_is_not_applied(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    owner: int,
    provider: FakeProvider,
    reconciler: Reconciler,
) -> None:
    other = run(make_transaction(database, vault, owner, at=START))
    run(open_session(database, other))
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = [said(other, Verdict.COMPLETED)]
    run(reconciler.step())
    assert run(row_of(database, other))["status"] == "pending"


def test_a_worker_that_died_after_its_claim_is_followed_by_another(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    provider.answers[made] = [said(made, Verdict.COMPLETED)]

    async def claim_and_die() -> list[UUID]:
        async with database.transaction() as tx:
            return await queries.claim_due(tx, clock.now(), clock.now() + LEASE, 10)

    assert run(claim_and_die()) == [made]
    run(reconciler.step())
    assert provider.asked == []
    clock.turn(seconds=LEASE.total_seconds())
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "completed"


def test_a_provider_that_is_away_is_asked_about_one_and_not_waited_for_by_all(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = [opened(run, database, vault, sandbox) for _ in range(3)]
    for one in made:
        provider.answers[one] = ProviderUnavailableError("away")
        run(reconciler.look(one))
    assert len(provider.asked) == 1

    clock.turn(hours=25)
    provider.answers = {one: [said(one, Verdict.DECLINED)] for one in made}
    for one in made:
        run(reconciler.look(one))
    assert len(provider.asked) == 4
    assert {run(row_of(database, one))["status"] for one in made} == {"failed"}


def test_an_answer_that_cannot_be_written_is_told_once(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    provider: FakeProvider,
    reconciler: Reconciler,
    clock: TurnedClock,
) -> None:
    made = opened(run, database, vault, sandbox)
    # PostgreSQL takes no NUL in text.
    provider.answers[made] = [said(made, Verdict.PROCESSING, said="buy: \0")]
    alerted = []
    for _ in range(2):
        run(reconciler.step())
        row = run(row_of(database, made))
        assert (row["status"], row["alert"]) == ("pending", "not_applied")
        assert row["next_poll_at"] > clock.now()
        alerted.append(row["alerted_at"])
        clock.moment = row["next_poll_at"]
    assert alerted == [START, START]
