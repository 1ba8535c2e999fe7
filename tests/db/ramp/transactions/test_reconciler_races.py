"""What happens while a provider is being asked is not lost by what it answers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from tests.db.ramp.transactions.scene import (
    FakeProvider,
    Reconciliation,
    execute,
)
from tests.support.ramp import said

from proof.ramp import clock as ramp_clock
from proof.ramp.providers.protocols import Account, Observation, ProviderStatus, Subject
from proof.ramp.transactions import polling
from proof.ramp.types import KycStatus


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
    meanwhile: Callable[[], Awaitable[None]] = _nothing

    async def kyc(self, account: Account, subject: Subject) -> KycStatus:
        await self.meanwhile()
        return self.known


def test_an_answer_from_before_the_deadline_ends_nothing_after_it(scene: Reconciliation) -> None:
    made = scene.made()
    scene.clock.turn(hours=24, seconds=-1)

    async def deadline_passes() -> None:
        scene.clock.turn(seconds=5)

    provider = SlowProvider(meanwhile=deadline_passes)
    reconciler = scene.asking(provider)
    scene.run(reconciler.poll(made))
    assert scene.row(made)["status"] == "pending"

    scene.run(reconciler.poll(made))
    assert scene.row(made)["status"] == "failed"


def test_who_is_to_be_asked_at_once_is_not_put_off_by_the_answer_under_way(
    scene: Reconciliation,
) -> None:
    made = scene.made()

    async def an_end_is_called_back() -> None:
        async with scene.database.transaction() as tx:
            await polling.ask_now(tx, [(made, scene.sandbox)], scene.clock.now())

    provider = SlowProvider(meanwhile=an_end_is_called_back)
    provider.answers[made] = [said(made, ProviderStatus.PENDING)]
    scene.run(scene.asking(provider).step())
    assert scene.row(made)["next_poll_at"] == scene.clock.now()


def test_a_transaction_that_somebody_holds_does_not_hold_up_the_others(
    scene: Reconciliation,
) -> None:
    held, free = scene.made(), scene.made()
    now = scene.clock.now()

    async def claim_beside() -> list[UUID]:
        async with scene.database.transaction() as holder, scene.database.transaction() as tx:
            await polling.hold_poll(holder, held)
            await tx.execute("SET LOCAL lock_timeout = '1s'")
            return await polling.claim_due(tx, now, now + timedelta(hours=1), 10)

    assert scene.run(claim_beside()) == [free]


def test_a_sandbox_clock_moved_meanwhile_is_seen_at_once(scene: Reconciliation) -> None:
    made = scene.made()
    reconciler = scene.asking(provider := SlowProvider())

    async def a_day_passes() -> None:
        async with scene.database.transaction() as tx:
            await ramp_clock.advance(tx, scene.sandbox, 24 * 3600, scene.clock)

    provider.meanwhile = a_day_passes
    scene.run(reconciler.step())
    provider.meanwhile = _nothing
    scene.run(reconciler.step())
    assert scene.row(made)["status"] == "failed"


def kyc_of_all(scene: Reconciliation) -> list[str]:
    async def read() -> list[str]:
        async with scene.database.connection() as connection:
            return [row["kyc"] for row in await connection.fetch("SELECT kyc FROM ramp_users")]

    found: list[str] = scene.run(read())
    return found


def test_an_older_answer_does_not_unlearn_who_was_identified_meanwhile(
    scene: Reconciliation,
) -> None:
    """The transaction may have ended with it, and then nobody asks again."""
    made = scene.made()

    async def identity_is_verified() -> None:
        await execute(scene.database, "UPDATE ramp_users SET kyc = 'verified'")

    provider = KnowingProvider(known=KycStatus.PENDING)
    scene.run(scene.asking(provider).poll(made))
    assert kyc_of_all(scene) == ["pending"]
    provider.meanwhile = identity_is_verified
    provider.known = KycStatus.FAILED
    scene.run(scene.asking(provider).poll(made))
    assert kyc_of_all(scene) == ["verified"]


def test_a_transaction_not_begun_does_not_unlearn_what_another_taught(
    scene: Reconciliation,
) -> None:
    made = scene.made()
    scene.run(execute(scene.database, "UPDATE ramp_users SET kyc = 'pending'"))
    scene.run(scene.asking(KnowingProvider()).poll(made))
    assert kyc_of_all(scene) == ["pending"]
