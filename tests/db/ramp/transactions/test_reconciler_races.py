"""What happens while a provider is being asked is not lost by what it answers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.conftest import Run
from tests.db.ramp.transactions.scene import (
    START,
    FakeProvider,
    TurnedClock,
    execute,
    open_session,
)
from tests.support.ramp import make_transaction, row_of, said

from proof.core.secrets import Vault
from proof.db import Database
from proof.ramp import clock as ramp_clock
from proof.ramp.providers.protocols import Account, Observation, Subject, Verdict
from proof.ramp.transactions import queries
from proof.ramp.transactions.reconciler import Reconciler
from proof.ramp.types import KycStatus

DAY = timedelta(hours=24)


async def _nothing() -> None:
    pass


@dataclass
class SlowProvider(FakeProvider):
    """Answers after something happened."""

    meanwhile: Callable[[], Awaitable[None]] = _nothing

    async def poll(self, account: Account, subject: Subject) -> Sequence[Observation]:
        answer = await super().poll(account, subject)
        await self.meanwhile()
        return answer


@dataclass
class KnowingProvider(FakeProvider):
    """Tells of the user's identity too."""

    known: KycStatus = KycStatus.NOT_STARTED

    async def kyc(self, account: Account, subject: Subject) -> KycStatus:
        return self.known


def opened(run: Run[Any], database: Database, vault: Vault, owner: int) -> UUID:
    made: UUID = run(make_transaction(database, vault, owner, at=START))
    run(open_session(database, made, exchanged=True))
    return made


def test_an_answer_from_before_the_deadline_ends_nothing_after_it(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = opened(run, database, vault, sandbox)
    clock = TurnedClock(START + DAY - timedelta(seconds=1))

    async def deadline_passes() -> None:
        clock.turn(seconds=5)

    provider = SlowProvider(meanwhile=deadline_passes)
    reconciler = Reconciler(database, vault, provider, clock)
    run(reconciler.look(made))
    assert run(row_of(database, made))["status"] == "pending"

    run(reconciler.look(made))
    assert run(row_of(database, made))["status"] == "failed"


def test_who_is_to_be_asked_at_once_is_not_put_off_by_the_answer_under_way(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = opened(run, database, vault, sandbox)
    clock = TurnedClock()

    async def an_end_is_called_back() -> None:
        async with database.transaction() as tx:
            await queries.ask_now(tx, [(made, sandbox)], clock.now())

    provider = SlowProvider(meanwhile=an_end_is_called_back)
    provider.answers[made] = [said(made, Verdict.PENDING)]
    run(Reconciler(database, vault, provider, clock).step())
    assert run(row_of(database, made))["next_poll_at"] == clock.now()


def test_a_sandbox_clock_moved_meanwhile_is_seen_at_once(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = opened(run, database, vault, sandbox)
    clock = TurnedClock()
    reconciler = Reconciler(database, vault, provider := SlowProvider(), clock)

    async def a_day_passes() -> None:
        async with database.transaction() as tx:
            await ramp_clock.advance(tx, sandbox, 24 * 3600, clock)

    provider.meanwhile = a_day_passes
    run(reconciler.step())
    provider.meanwhile = _nothing
    run(reconciler.step())
    assert run(row_of(database, made))["status"] == "failed"


def test_a_transaction_not_begun_does_not_unlearn_what_another_taught(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = opened(run, database, vault, sandbox)
    run(execute(database, "UPDATE ramp_users SET kyc = 'pending'"))
    run(Reconciler(database, vault, KnowingProvider(), TurnedClock()).look(made))

    async def kyc() -> object:
        async with database.connection() as connection:
            return await connection.fetchval("SELECT kyc FROM ramp_users")

    assert run(kyc()) == "pending"
