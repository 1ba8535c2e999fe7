"""POST /simulate and /clock/advance: every outcome to its end, by callbacks and by polling."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.db.ramp.providers.conftest import Scene
from tests.db.ramp.transactions.scene import open_session
from tests.support.application import CALLER
from tests.support.locking import waits
from tests.support.notices import notices_of
from tests.support.partners import issued

from proof.partners.types import Environment
from proof.ramp.providers.outcomes import OUTCOMES, Name
from proof.ramp.providers.simulator import operations
from proof.ramp.providers.simulator.adapter import PLAYED
from proof.ramp.providers.simulator.background import BATCH
from proof.ramp.providers.simulator.operations import RETRIES_S
from proof.ramp.providers.simulator.play import Operation, Play
from proof.ramp.types import KycStatus, Status, TransactionType

DAY_S = 24 * 3600


def every_case() -> Iterator[tuple[TransactionType, Name, Status]]:
    for outcome in OUTCOMES:
        for kind in TransactionType:
            if kind in outcome.types:
                sold = (kind, outcome.name) == (TransactionType.SELL, Name.DELIVERY_FAILED)
                yield kind, outcome.name, Status.FAILED if sold else outcome.ends


def path_to(end: Status) -> list[str]:
    if end is Status.COMPLETED:
        return ["processing", "completed"]
    return [str(end)]


@pytest.mark.parametrize(("kind", "outcome", "end"), list(every_case()))
def test_an_outcome_comes_to_its_end(
    scene: Scene, kind: TransactionType, outcome: Name, end: Status
) -> None:
    made = scene.transaction(kind)
    answer = scene.simulate(made, outcome)
    assert (answer.status, answer.json["outcome"]) == (200, outcome)
    lost = outcome is Name.CALLBACK_LOST
    scene.run(scene.world.pass_time(DAY_S / 3, polling=lost))
    row = scene.run(scene.world.row(made))
    paid_out = (kind, outcome) == (TransactionType.SELL, Name.DELIVERY_FAILED)
    wanted = ["processing", "failed"] if paid_out else path_to(end)
    assert scene.run(scene.world.statuses(made)) == wanted
    assert row["kyc"] == ("failed" if outcome is Name.KYC_FAILED else "verified")
    undelivered = (kind, outcome) == (TransactionType.BUY, Name.DELIVERY_FAILED)
    assert row["alert"] == ("undeliverable" if undelivered else None)
    refunds = {Name.REFUNDED: "refunded", Name.CHARGED_BACK: "charged_back"}
    assert row["refund_status"] == refunds.get(outcome, "none")
    answers = scene.world.client.answers(made)
    assert bool(answers) is not lost
    assert set(answers) <= {200}


@pytest.mark.parametrize("outcome", [Name.SUCCESS, Name.CALLBACK_TWICE, Name.CALLBACK_LATE])
def test_polling_and_callbacks_together_say_nothing_twice(scene: Scene, outcome: Name) -> None:
    made = scene.transaction()
    scene.simulate(made, outcome)
    scene.run(scene.world.pass_time(3600, polling=True))
    assert scene.run(scene.world.statuses(made)) == ["processing", "completed"]
    assert scene.run(scene.world.row(made))["alert"] is None


def test_whoever_plays_is_told_of_and_when_the_next_step_is_due_is_known(scene: Scene) -> None:
    made, at = scene.transaction(), scene.stage.platform
    token = issued(scene.partner, Environment.SANDBOX).client_token
    acting = at.call(
        "POST",
        f"/sandbox/simulate/{made}",
        {"outcome": Name.SUCCESS},
        token=token,
        address=CALLER,
    )
    assert scene.run(notices_of(at.database, {PLAYED}, acting)) == {PLAYED}

    async def due_in() -> float:
        async with at.database.connection() as connection:
            found = await operations.next_due(connection)
        assert found is not None
        return (found - at.clock.now()).total_seconds()

    waits_s = scene.run(due_in())
    assert waits_s < 60
    # In a sandbox whose clock is ahead everything is due sooner.
    assert scene.call("/clock/advance", {"seconds": 60}).status == 200
    assert scene.run(due_in()) == pytest.approx(waits_s - 60)
    scene.run(scene.world.pass_time(300, polling=True))
    assert scene.run(scene.world.row(made))["status"] == "completed"


def test_a_callback_nobody_answered_comes_again(scene: Scene) -> None:
    made = scene.transaction()
    scene.world.client.fails = 4
    scene.simulate(made, Name.SUCCESS)
    scene.run(scene.world.pass_time(120))
    assert scene.run(scene.world.row(made))["status"] == "completed"
    assert scene.world.client.answers(made) == [200, 200, 200]


def test_a_callback_nobody_answered_waits_as_long_as_it_is_documented_to(scene: Scene) -> None:
    made = scene.transaction()
    scene.world.client.fails = 1_000
    scene.simulate(made, Name.SUCCESS)
    query = (
        "SELECT tries, due_at, leased_until FROM simulated_callbacks"
        " WHERE partner_environment_id = $1 ORDER BY id LIMIT 1"
    )
    seen: list[tuple[int, timedelta, object]] = []
    while len(seen) < len(RETRIES_S):
        scene.run(scene.world.settle())
        rows = scene.run(scene.stage.platform.fetch(query, scene.sandbox))
        now = scene.world.clock.now()
        seen += [(row["tries"], row["due_at"] - now, row["leased_until"]) for row in rows]
        scene.world.clock.moment = rows[0]["due_at"] if rows else now + timedelta(seconds=1)
    waits = [timedelta(seconds=wait) for wait in RETRIES_S]
    assert seen == [(tries, wait, None) for tries, wait in enumerate(waits, start=1)]


def test_a_callback_is_lost_when_it_was_tried_often_enough(scene: Scene) -> None:
    made = scene.transaction()
    scene.world.client.fails = 1_000
    scene.simulate(made, Name.SUCCESS)
    scene.run(scene.world.pass_time(DAY_S))
    rows = scene.run(
        scene.stage.platform.fetch(
            "SELECT tries FROM simulated_callbacks WHERE partner_environment_id = $1", scene.sandbox
        )
    )
    assert rows == []
    assert scene.run(scene.world.row(made))["status"] == "pending"


def test_the_identity_is_remembered_for_the_next_transaction(scene: Scene) -> None:
    first, second = scene.transaction(), scene.transaction()
    scene.simulate(first, Name.SUCCESS)
    scene.run(scene.world.pass_time(30))
    scene.simulate(second, Name.SUCCESS)
    scene.run(scene.world.pass_time(5))
    assert scene.run(scene.world.row(second))["status"] == "completed"


def test_the_clock_moves_this_sandbox_alone_and_forward_only(scene: Scene) -> None:
    other = scene.run(scene.stage.platform.onboard("Other", sandbox_networks=("203.0.113.0/24",)))
    elsewhere = Scene(scene.stage, scene.world, other)
    made, theirs = scene.transaction(), elsewhere.transaction()
    scene.simulate(made, Name.KYC_SLOW)
    elsewhere.simulate(theirs, Name.KYC_SLOW)
    answer = scene.call("/clock/advance", {"seconds": 700})
    assert answer.status == 200
    scene.run(scene.world.settle())
    scene.run(scene.world.settle())
    assert scene.run(scene.world.row(made))["status"] == "completed"
    assert scene.run(scene.world.row(theirs))["status"] == "pending"
    again = scene.call("/clock/advance", {"seconds": 1})
    assert again.json["now"] > answer.json["now"]


def test_what_was_paid_before_the_clock_moved_counts_whoever_looks_first(scene: Scene) -> None:
    made = scene.transaction()
    scene.run(open_session(scene.stage.platform.database, made, at=scene.world.clock.now()))
    scene.simulate(made, Name.SUCCESS)
    scene.call("/clock/advance", {"seconds": DAY_S})
    while scene.run(scene.world.reconciler.step()):
        pass
    scene.run(scene.world.settle(polling=True))
    assert scene.run(scene.world.statuses(made)) == ["processing", "completed"]
    assert scene.run(scene.world.row(made))["alert"] is None


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "60", None, True, 10**12, 2**70])
def test_a_clock_is_not_turned_back_or_by_nonsense(scene: Scene, seconds: object) -> None:
    answer = scene.call("/clock/advance", {"seconds": seconds})
    assert (answer.status, answer.json["code"]) == (400, "validation_error")
    assert "seconds" in answer.json["message"]


@pytest.mark.parametrize(
    "body", [{}, {"outcome": "nonsense"}, {"outcome": 1}, {"outcome": "success", "more": 1}]
)
def test_what_is_no_outcome_is_refused(scene: Scene, body: object) -> None:
    answer = scene.call(f"/simulate/{scene.transaction()}", body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_an_outcome_of_the_other_type_is_refused(scene: Scene) -> None:
    answer = scene.simulate(scene.transaction("sell"), Name.DECLINED)
    assert (answer.status, answer.json["code"]) == (400, "validation_error")
    assert "outcome" in answer.json["message"]


def test_another_partners_transaction_is_not_there(scene: Scene) -> None:
    other = scene.run(scene.stage.platform.onboard("Other", sandbox_networks=("203.0.113.0/24",)))
    theirs = Scene(scene.stage, scene.world, other).transaction()
    for name in (theirs, uuid4(), "nonsense"):
        answer = scene.call(f"/simulate/{name}", {"outcome": "success"})
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert scene.run(scene.world.row(theirs))["provider_account_id"] is None


def test_nothing_is_simulated_twice_or_after_the_end(scene: Scene) -> None:
    made = scene.transaction()
    for outcome, status in ((Name.KYC_SLOW, 200), (Name.KYC_SLOW, 200), (Name.SUCCESS, 409)):
        assert scene.simulate(made, outcome).status == status
    scene.run(scene.world.pass_time(1_000))
    answer = scene.simulate(made, Name.KYC_SLOW)
    assert (answer.status, answer.json["code"]) == (409, "conflict")


def test_who_comes_second_sees_what_the_first_began(scene: Scene) -> None:
    """There is no operation to lock before it begins, so its transaction is."""
    made, database = scene.transaction(), scene.stage.platform.database

    async def second() -> bool:
        async with database.transaction() as tx:
            found = await operations.lock(tx, made)
            return found is not None

    async def together() -> bool:
        async with database.transaction() as tx:
            assert await operations.lock(tx, made) is None
            task = await waits(second(), tx)
            begun = Operation(
                id="op_1",
                kind=TransactionType.BUY,
                crypto_amount="25.5",
                fiat_currency="EUR",
                fiat_amount="30.00",
                outcome=Name.SUCCESS,
                kyc=KycStatus.NOT_STARTED,
            )
            await operations.store(tx, uuid4(), scene.sandbox, made, Play(begun))
        seen: bool = await task
        return seen

    assert scene.run(together())


def test_production_has_neither(scene: Scene) -> None:
    made = scene.transaction()
    for target, body in (
        (f"/simulate/{made}", {"outcome": "success"}),
        ("/clock/advance", {"seconds": 60}),
    ):
        answer = scene.call(target, body, Environment.PRODUCTION)
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    token = issued(scene.partner, Environment.SANDBOX).client_token
    answer = scene.run(
        scene.stage.platform.call("POST", "/clock/advance", {"seconds": 60}, token=token)
    )
    assert answer.status == 404


@pytest.mark.parametrize("outcome", [Name.SUCCESS, Name.CALLBACK_LOST])
def test_the_largest_amount_comes_to_its_end(scene: Scene, outcome: Name) -> None:
    made = scene.transaction(amount="99999999999999999999.999999999999999999", currency="BTC")
    assert scene.simulate(made, outcome).status == 200
    scene.run(scene.world.pass_time(300, polling=True))
    row = scene.run(scene.world.row(made))
    assert (row["status"], row["alert"]) == ("completed", None)
    assert row["fiat_amount"] == Decimal("5481000000000000000000000.00")


def test_an_operation_that_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    broken = [scene.transaction() for _ in range(BATCH)]
    for transaction in broken:
        scene.simulate(transaction, Name.SUCCESS)
    at = scene.stage.platform
    query = "UPDATE simulated_operations SET state = '{}' WHERE transaction_id = ANY($1)"
    scene.run(at.fetch(query, broken))
    made = scene.transaction()
    scene.simulate(made, Name.SUCCESS)
    scene.run(scene.world.pass_time(30))
    assert scene.run(scene.world.row(made))["status"] == "completed"
