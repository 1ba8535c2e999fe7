"""The simulator's world in one process: a clock to turn, callbacks handed to our own application, and the
worker's steps by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from tests.support.application import BASE_URLS, Platform

from proof.outbound import OutboundClient, OutboundError, OutboundReply, Reason
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.registry import Providers
from proof.ramp.providers.simulator.background import Simulator
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.reconciler import Reconciler

SANDBOX_URL = BASE_URLS[Environment.SANDBOX]


class TurnedClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def now(self) -> datetime:
        return self.moment

    def turn(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Loopback:
    """Posts to the platform without a socket. `fails` is how many calls nobody answers first; `posted` is
    every body with its answer's status."""

    platform: Platform
    fails: int = 0
    posted: list[tuple[bytes, int]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        if self.fails:
            self.fails -= 1
            raise OutboundError("proof.example", Reason.TIMEOUT)
        target = url.removeprefix("https://proof.example")
        answer = await self.platform.call("POST", target, body, headers=headers.items())
        self.posted.append((body, answer.status))
        return OutboundReply(answer.status, answer.body, False, 0)

    def answers(self, transaction_id: UUID) -> list[int]:
        """What was answered to callbacks about one transaction."""
        name = str(transaction_id).encode()
        return [status for body, status in self.posted if name in body]


@dataclass
class World:
    """`pass_time` lets everything happen that is due by then."""

    platform: Platform
    clock: TurnedClock
    client: Loopback

    def __post_init__(self) -> None:
        at = self.platform
        client = cast("OutboundClient", self.client)
        providers = Providers(Reach(client, at.database, self.clock))
        self.simulator = Simulator(at.database, at.vault, self.clock, client, SANDBOX_URL)
        self.reconciler = Reconciler(at.database, at.vault, providers, self.clock)
        self.providers = providers

    async def pass_time(self, seconds: float, *, polling: bool = False) -> None:
        """Second by second up to half a minute, then in ever longer steps."""
        left, step = seconds, 1.0
        while left > 0:
            self.clock.turn(min(step, left))
            left -= step
            step = step if seconds - left < 30 else step * 2
            await self.settle(polling=polling)

    async def settle(self, *, polling: bool = False) -> None:
        """All that is due now."""
        at = self.platform
        while await self.simulator.step():
            pass
        while await process(at.database, at.vault, self.providers, self.clock):
            pass
        if polling:
            while await self.reconciler.step():
                pass

    async def row(self, transaction_id: UUID) -> Any:
        (row,) = await self.platform.fetch(
            "SELECT transaction.*, person.kyc FROM ramp_transactions transaction"
            " JOIN ramp_users person ON person.id = user_id WHERE transaction.id = $1",
            transaction_id,
        )
        return row

    async def statuses(self, transaction_id: UUID) -> list[str]:
        """Every status the transaction was said to have, in order."""
        rows = await self.platform.fetch(
            "SELECT convert_from(body, 'UTF8')::jsonb ->> 'status' AS status FROM outbox"
            " WHERE subject = $1 ORDER BY position",
            str(transaction_id),
        )
        return [row["status"] for row in rows]
