"""Stored callbacks become statements, whatever their order, their number or their state."""

import asyncio
import hashlib
import json
from typing import Any

from tests.conftest import Run
from tests.db.ramp.transactions.scene import START, TurnedClock, call_back, callbacks, providers
from tests.support.ramp import chain_of, make_transaction, published_of, row_of

from proof.core.clock import moment_text
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import OnboardedPartner
from proof.ramp import personal
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.personal import Kind
from proof.ramp.providers.callbacks import claim
from proof.ramp.providers.protocols import Adapter, Observation
from proof.ramp.records import salt_of
from proof.ramp.transactions.processing import process


def statuses(bodies: list[bytes]) -> list[str]:
    return [json.loads(body)["status"] for body in bodies]


def test_callbacks_of_both_legs_complete_a_buy(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    how = ("payment captured", "delivery sent", "delivery delivered")
    run(call_back(database, vault, sandbox, made, *how))

    assert run(process(database, vault, providers(database), TurnedClock())) == 3
    assert run(process(database, vault, providers(database), TurnedClock())) == 0

    row = run(row_of(database, made))
    assert (row["status"], row["payment_method"]) == ("completed", "card")
    assert row["provider_reference"] == f"op-{made}"
    assert statuses(run(published_of(database, made))) == ["processing", "completed"]
    done = run(callbacks(database))
    assert [item["outcome"] for item in done] == ["processing", "nothing new", "completed"]
    assert {item["transaction_id"] for item in done} == {made}


async def test_the_callback_that_caused_a_change_is_recorded_before_it(
    database: Database, vault: Vault, sandbox: int
) -> None:
    """By the salted hash of the bytes that came; one that changes nothing leaves no record."""
    made = await make_transaction(database, vault, sandbox, at=START)
    how = ("payment captured", "delivery sent", "delivery delivered")
    await call_back(database, vault, sandbox, made, *how, extra="as it came")
    async with database.transaction() as tx:
        bodies = [each.body for each in await claim(tx, vault, 3)]
        secret = await personal.read_for_records(tx, vault, [made])
    assert secret[made].get(Kind.SALT) is None
    await process(database, vault, providers(database), TurnedClock())
    async with database.connection() as connection:
        secret = await personal.read_for_records(connection, vault, [made])
    told = [json.loads(record) for record in await chain_of(database, made)]
    assert [(each["kind"], each.get("caused_by")) for each in told] == [
        ("session.opened", None),
        ("provider.callback", None),
        ("transaction.status", "callback"),
        ("provider.callback", None),
        ("transaction.status", "callback"),
    ]
    for record, body in ((told[1], bodies[0]), (told[3], bodies[2])):
        salt = salt_of(secret[made][Kind.SALT], record["sequence"], "body")
        assert record["body_sha256"] == hashlib.sha256(salt + body).hexdigest()
        assert record["provider"] == "sandbox"
        assert record["received_at"] == moment_text(START)


def test_out_of_order_and_twice_makes_the_same_two_events(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    how = ("delivery delivered", "payment captured", "payment declined", "delivery sent")
    for _ in range(2):
        run(call_back(database, vault, sandbox, made, *how))
        run(process(database, vault, providers(database), TurnedClock()))
    assert statuses(run(published_of(database, made))) == ["processing", "completed"]
    assert run(row_of(database, made))["alert"] is None


def test_many_workers_apply_each_callback_once(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = [run(make_transaction(database, vault, sandbox, at=START)) for _ in range(5)]
    for item in made:
        run(call_back(database, vault, sandbox, item, "payment captured", "delivery delivered"))

    async def at_once() -> int:
        how = (database, vault, providers(database), TurnedClock())
        return sum(await asyncio.gather(*(process(*how) for _ in range(4))))

    assert run(at_once()) == 10
    for item in made:
        assert statuses(run(published_of(database, item))) == ["processing", "completed"]


def test_a_partners_account_cannot_move_another_partners_transaction(
    run: Run[Any],
    database: Database,
    vault: Vault,
    owner: int,
    sandbox: int,
    partner: OnboardedPartner,
) -> None:
    made = run(make_transaction(database, vault, owner, at=START))
    run(call_back(database, vault, sandbox, made, "payment captured"))
    run(process(database, vault, providers(database), TurnedClock()))
    assert run(row_of(database, made))["status"] == "pending"
    [item] = run(callbacks(database))
    assert (item["outcome"], item["transaction_id"]) == ("no such transaction", None)


class Awkward:
    """An adapter that refuses, breaks, or believes no end it is told."""

    fields = ()
    confirms_ends = True

    def __init__(self, real: Adapter, fault: Exception | None) -> None:
        self._real: Any = real
        self._fault = fault

    def adapter(self, name: str) -> Adapter:
        return self

    def verify(self, *arguments: Any) -> str:
        return str(self._real.verify(*arguments))

    def identity(self, body: bytes) -> bytes:
        return bytes(self._real.identity(body))

    def translate(self, body: bytes) -> Observation:
        if self._fault is not None:
            raise self._fault
        found: Observation = self._real.translate(body)
        return found

    async def poll(self, *arguments: Any) -> Any:
        return ()


def test_a_callback_that_breaks_its_adapter_holds_up_no_other(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    real = providers(database).adapter("sandbox")
    for fault in (CallbackRefusedError("not as documented"), KeyError("status")):
        said = "payment captured" if isinstance(fault, KeyError) else "payment declined"
        run(call_back(database, vault, sandbox, made, said))
        assert run(process(database, vault, Awkward(real, fault), TurnedClock())) == 1
    done = run(callbacks(database))
    assert [item["outcome"] for item in done] == ["not understood"] * 2
    assert all(item["sealed"] is not None for item in done)
    assert run(row_of(database, made))["status"] == "pending"


def test_an_end_that_has_to_be_confirmed_has_the_provider_asked_at_once(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    adapter = Awkward(providers(database).adapter("sandbox"), None)
    run(call_back(database, vault, sandbox, made, "payment captured", "delivery delivered"))
    clock = TurnedClock()
    clock.turn(minutes=5)
    run(process(database, vault, adapter, clock))
    row = run(row_of(database, made))
    assert (row["status"], row["next_poll_at"]) == ("processing", clock.now())
    assert run(callbacks(database))[1]["outcome"] == "to be confirmed"


def test_a_callback_that_cannot_be_written_holds_up_no_other(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    poisoned = run(make_transaction(database, vault, sandbox, at=START))
    made = run(make_transaction(database, vault, sandbox, at=START))
    # PostgreSQL takes no NUL in text.
    run(call_back(database, vault, sandbox, poisoned, "payment \0"))
    run(call_back(database, vault, sandbox, made, "payment captured"))

    run(process(database, vault, providers(database), TurnedClock()))

    assert run(process(database, vault, providers(database), TurnedClock())) == 0
    assert run(row_of(database, made))["status"] == "processing"
    row = run(row_of(database, poisoned))
    assert (row["status"], row["alert"]) == ("pending", "not_applied")
    done = run(callbacks(database))
    assert [item["outcome"] for item in done] == ["not applied", "processing"]
    assert done[0]["sealed"] is not None
