"""The rounds this process has open: one for each partner environment it takes hashes for."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from uuid import uuid4

from proof.db import Connection
from proof.timestamps.submissions import queries
from proof.timestamps.submissions.types import OpenRound, PendingSubmission
from proof.timestamps.types import NO_CHAINS, Chains, Currency, TreeRef

# A round is closed once it is this old. Its process leaves it a little earlier of its own accord:
# two lanes that share-lock a row in turn could keep whoever closes it waiting for ever.
ROUND_AGE_S = 1.0
_LEAVE_AFTER_S = 0.9


class OpenRounds:
    """Hands out the open round of a partner environment, opening one when there is none.

    Each is opened in the trees of `chains`, which names those of each environment.
    """

    def __init__(self, chains: Chains = NO_CHAINS) -> None:
        self._chains = chains
        self._open: dict[int, tuple[OpenRound, float]] = {}
        self._opening = asyncio.Lock()

    async def of(self, connection: Connection, pending: PendingSubmission) -> OpenRound:
        """The round to put this request's hashes into. It may have been closed meanwhile; the fence
        of the commit finds out, and `forget` makes the next call open another."""
        return self._current(pending) or await self._opened(connection, pending)

    def forget(self, partner_environment_id: int, closed: OpenRound) -> None:
        """That round is closed."""
        found = self._open.get(partner_environment_id)
        if found is not None and found[0] is closed:
            del self._open[partner_environment_id]

    def _current(self, pending: PendingSubmission) -> OpenRound | None:
        found = self._open.get(pending.partner_environment_id)
        if found is None or time.monotonic() > found[1]:
            return None
        return found[0]

    async def _opened(self, connection: Connection, pending: PendingSubmission) -> OpenRound:
        async with self._opening:
            current = self._current(pending)
            if current is None:
                leave_at = time.monotonic() + _LEAVE_AFTER_S
                current = await _open(
                    connection, pending, self._chains.get(pending.environment, ())
                )
                self._open[pending.partner_environment_id] = current, leave_at
            return current


async def _open(
    connection: Connection, pending: PendingSubmission, chains: Sequence[Currency]
) -> OpenRound:
    # A random leaf nobody submitted: roots are unique, reveal nothing, and no round has one leaf.
    blinding = secrets.token_bytes(32)
    wanted = [int(chain) for chain in chains]
    while True:
        rows = await queries.open_round(
            connection,
            pending.partner_environment_id,
            pending.environment,
            blinding,
            uuid4(),
            Currency.LOG,
            wanted,
        )
        if rows:
            trees = tuple(TreeRef(row["tree_id"], Currency(row["currency_id"])) for row in rows)
            return OpenRound(rows[0]["round_id"], trees)
        await queries.open_trees(connection, pending.environment, wanted)
