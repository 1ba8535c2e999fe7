"""What the simulator does of itself: it moves operations whose time has come and posts signed callbacks.

A callback goes over HTTP to our own address, the way a provider's would, and comes again until it is
answered with 200 or was tried often enough. Any number of workers may do this at once. Stopped anywhere, an
operation has taken its step with its callbacks written, or not; a callback that was on its way is posted
again.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from proof.core.clock import Clock
from proof.core.errors import NotFoundError, OtherSideError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.outbound import InvalidTargetError, OutboundClient, OutboundPolicy
from proof.ramp.providers.accounts import account
from proof.ramp.providers.protocols import Account
from proof.ramp.providers.simulator import operations
from proof.ramp.providers.simulator.operations import DueCallback, DueOperation
from proof.ramp.providers.simulator.play import Play
from proof.ramp.providers.simulator.wire import SIGNATURE_HEADER, sign

BATCH = 50
# A transaction whose step failed is tried again after this time, so that it holds up no other.
_FAILED_PAUSE = timedelta(minutes=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OwnAddressPolicy(OutboundPolicy):
    """Admits URLs below `base_url` alone, wherever its host leads: the operator named it, and it is us."""

    base_url: str = ""

    def check_url(self, url: str) -> None:
        if not url.startswith(self.base_url + "/"):
            raise InvalidTargetError("the simulator posts to this installation alone")

    def check_address(self, ip: str, port: int) -> None:
        """Any address: it is our own name that led there."""


class Simulator:
    """`client` is one whose policy is OwnAddressPolicy(base_url=base_url), the sandbox's base URL without a
    trailing slash."""

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, client: OutboundClient, base_url: str
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._client = client
        self._base_url = base_url

    async def due_in(self) -> float | None:
        """In how many seconds something is due; None when nothing is under way."""
        async with self._database.connection() as connection:
            at = await operations.next_due(connection)
        return None if at is None else (at - self._clock.now()).total_seconds()

    async def step(self) -> bool:
        """Take the steps and post the callbacks that are due; whether there may be more."""
        moved = await self._move()
        posted = await self._post()
        return BATCH in {moved, posted}

    async def _move(self) -> int:
        now = self._clock.now()
        async with self._database.connection() as connection:
            found = await operations.due(connection, now, BATCH)
        for operation in found:
            await self._run_safely(operation)
        return len(found)

    async def _run_safely(self, due: DueOperation) -> None:
        try:
            async with self._database.transaction() as tx:
                await _run(tx, due)
        except OtherSideError:
            raise
        except Exception:  # noqa: BLE001 - one broken operation; it is logged and tried again
            _log.exception("simulator.step_failed", transaction=str(due.transaction_id))
            async with self._database.transaction() as tx:
                await operations.put_off(tx, due, _FAILED_PAUSE)

    async def _post(self) -> int:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            claimed = await operations.claim_callbacks(tx, now, BATCH)
        if not claimed:
            return 0
        by_account: dict[UUID, list[DueCallback]] = {}
        for callback in claimed:
            by_account.setdefault(callback.account_id, []).append(callback)
        # The callbacks of one account are posted in order; the outcome that simulates disorder has its own.
        done = await asyncio.gather(*map(self._post_all, by_account.values()))
        delivered = {each: ok for results in done for each, ok in results.items()}
        async with self._database.transaction() as tx:
            await operations.settle_callbacks(tx, claimed, delivered)
        return len(claimed)

    async def _post_all(self, callbacks: list[DueCallback]) -> dict[int, bool]:
        try:
            async with self._database.connection() as connection:
                found = await account(connection, self._vault, callbacks[0].account_id)
        except NotFoundError:
            return dict.fromkeys((callback.id for callback in callbacks), True)
        return {callback.id: await self._post_one(found, callback.body) for callback in callbacks}

    async def _post_one(self, to: Account, body: bytes) -> bool:
        url = f"{self._base_url}/providers/{to.provider}/{to.id}/callback"
        signature = sign(to.credentials["sign_key"], body)
        headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
        try:
            reply = await self._client.post(url, body, headers)
        except OtherSideError:
            return False
        return reply.status == 200


async def _run(tx: Connection, due: DueOperation) -> None:
    operation = await operations.lock(tx, due.transaction_id)
    if operation is None:
        return
    play = Play(operation)
    play.run_due(due.now)
    if play.operation is not operation:
        owner = due.partner_environment_id
        await operations.store(tx, due.account_id, owner, due.transaction_id, play)
