"""Anchoring: a chain's trees from open to settled, in crash order.

One `step` does for each tree whatever is next; recovery is the next step.

1. The due tree is closed, and sealed once its rounds are. Stopped there, it is closed or sealed.
2. `build`: a signed transaction in memory, once what the same wallet paid for last is in a block: no two
   trees then spend one coin or take one nonce. Stopped there, nobody ever saw it.
3. The candidate is stored, and the wallet's turn taken with it. Stopped there, the next step broadcasts
   exactly this one.
4. `broadcast`. Stopped there, the next step looks, and finds it or broadcasts it again.
5. `look`, for as long as the tree is not settled: its status follows the chain, backwards too. A
   candidate that lingers gets a successor at a higher fee, through 2 to 4; all stay watched.
6. Verified: evidence, tree and notices in one transaction, once our own verifier has accepted them.
   Stopped before its commit, the next step finds the same block again.

No transaction is open while a node is asked. What a chain cannot do now is kept in words for the
operator, and its trees wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from proof.core.clock import Clock
from proof.db import Database
from proof.events import publish as publish_events
from proof.timestamps.anchors import queries
from proof.timestamps.anchors.chain import (
    Candidate,
    Chain,
    ChainError,
    Evidence,
    Sighting,
    TransactionRefusedError,
    answered,
)
from proof.timestamps.anchors.log import queries as log_queries
from proof.timestamps.anchors.notices import tree_events
from proof.timestamps.anchors.queries import StoredCandidate, TreeInProgress
from proof.timestamps.anchors.soundness import require_sound
from proof.timestamps.anchors.turns import await_turn
from proof.timestamps.trees import aggregation
from proof.timestamps.trees.aggregation import Checkpoint
from proof.timestamps.types import SubmitStatus, Tree

# A candidate the node refuses is not built anew more often: what it minds may pass.
_REBUILD_AFTER = timedelta(seconds=60)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a chain is written to, and how long a transaction may linger before its fee is raised."""

    every: timedelta
    replace_after: timedelta


class Anchorer:
    """Keeps one chain of one environment going. Any number of workers may run it at once."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        environment: str,
        chain: Chain,
        schedule: Schedule,
    ) -> None:
        self._database = database
        self._clock = clock
        self._environment = environment
        self._chain = chain
        self._schedule = schedule
        self._log = _log.bind(environment=str(environment), chain=chain.currency.name)

    async def step(self) -> None:
        """Do what is due now. A chain's trouble is told, not raised."""
        currency = self._chain.currency
        await aggregation.close_due(
            self._database, self._environment, currency, self._clock.now(), self._schedule.every
        )
        await self._seal()
        async with self._database.connection() as connection:
            trees = await queries.under_way(connection, self._environment, currency)
        troubles: list[str] = []
        for tree in trees:
            try:
                await self._advance(tree)
            except ChainError as error:
                # One tree may wait for the wallet while another only waits for blocks.
                troubles.append(error.message)
        if trees:
            await self._tell(troubles)

    async def _seal(self) -> None:
        async with self._database.transaction() as tx:
            newest = await log_queries.current_checkpoint(tx, self._environment)
            if newest is None:
                return
            checkpoint = Checkpoint(newest["log_id"], newest["size"], newest["note"].encode())
            while await aggregation.seal_next(
                tx, self._environment, self._chain.currency, checkpoint
            ):
                pass

    async def _advance(self, tree: TreeInProgress) -> None:
        async with self._database.connection() as connection:
            stored = await queries.candidates(connection, tree.id)
        sighting = Sighting(SubmitStatus.UNSUBMITTED)
        if stored:
            sighting = await answered(self._chain.poll([each.candidate for each in stored]))
        if sighting.status is SubmitStatus.VERIFIED and sighting.candidate is not None:
            await self._verified(tree, sighting, sighting.candidate)
        else:
            await self._moved(tree, sighting)
        if sighting.status is SubmitStatus.UNSUBMITTED:
            await self._submit(tree, stored)
        elif sighting.status is SubmitStatus.SUBMITTED:
            await self._hurry(tree, stored)

    async def _moved(self, tree: TreeInProgress, sighting: Sighting) -> None:
        if (tree.status, tree.block) == (sighting.status, sighting.block):
            return
        if sighting.status < tree.status:
            self._log.warning(
                "anchor.taken_back",
                tree=str(tree.id),
                before=int(tree.status),
                now=int(sighting.status),
            )
        async with self._database.connection() as connection:
            await queries.move(connection, tree, sighting)

    async def _verified(
        self, tree: TreeInProgress, sighting: Sighting, candidate: Candidate
    ) -> None:
        if tree.status is SubmitStatus.VERIFIED and tree.block == sighting.block:
            if sighting.settled:
                async with self._database.connection() as connection:
                    await queries.move(connection, tree, sighting)
            return
        evidence = await answered(self._chain.evidence(tree.roots, candidate))
        verified = Tree(
            tree.id,
            self._chain.currency,
            SubmitStatus.VERIFIED,
            evidence.timestamp_ms,
            tree.roots.root,
            candidate.transaction,
            tree.roots.plain,
        )
        require_sound(verified, evidence.members, sighting.block)
        await self._publish(tree, verified, evidence, sighting)

    async def _publish(
        self, tree: TreeInProgress, verified: Tree, evidence: Evidence, sighting: Sighting
    ) -> None:
        async with self._database.transaction() as tx:
            now = self._clock.now()
            if not await queries.verify(tx, tree, verified, evidence, sighting, now):
                return
            owners = await queries.owners(tx, tree.id)
            await publish_events(tx, await tree_events(tx, [(each, verified) for each in owners]))
        self._log.info(
            "anchor.verified",
            tree=str(tree.id),
            transaction=verified.transaction,
            cost=evidence.cost,
        )

    async def _submit(self, tree: TreeInProgress, stored: Sequence[StoredCandidate]) -> None:
        if not stored:
            await self._first(tree)
            return
        try:
            await self._broadcast(tree, stored[-1].candidate)
        except TransactionRefusedError as refused:
            if stored[-1].created_at + _REBUILD_AFTER > self._clock.now():
                raise
            self._log.warning("anchor.refused", tree=str(tree.id), reason=refused.message)
            await self._build_and_broadcast(tree, stored)

    async def _first(self, tree: TreeInProgress) -> None:
        if not self._chain.wallet:
            await self._build_and_broadcast(tree, ())
            return
        before = await await_turn(self._database, self._chain)
        candidate = await answered(self._chain.build(tree.roots, ()))
        async with self._database.connection() as connection:
            ours = await queries.store_first(
                connection, tree.id, candidate, self._clock.now(), self._chain.wallet, before
            )
        if ours:
            await self._broadcast(tree, candidate)

    async def _hurry(self, tree: TreeInProgress, stored: Sequence[StoredCandidate]) -> None:
        newest = stored[-1]
        since = newest.broadcast_at or newest.created_at
        if since + self._schedule.replace_after <= self._clock.now():
            await self._build_and_broadcast(tree, stored)
        elif newest.broadcast_at is None:
            await self._broadcast(tree, newest.candidate)

    async def _build_and_broadcast(
        self, tree: TreeInProgress, stored: Sequence[StoredCandidate]
    ) -> None:
        candidate = await answered(
            self._chain.build(tree.roots, [each.candidate for each in stored])
        )
        async with self._database.connection() as connection:
            ours = await queries.store_candidate(
                connection, tree.id, len(stored) + 1, candidate, self._clock.now()
            )
        if ours:
            await self._broadcast(tree, candidate)

    async def _broadcast(self, tree: TreeInProgress, candidate: Candidate) -> None:
        await answered(self._chain.broadcast(candidate))
        async with self._database.transaction() as tx:
            await queries.note_broadcast(tx, tree.id, candidate.transaction, self._clock.now())
            if tree.status is SubmitStatus.UNSUBMITTED:
                await queries.move(tx, tree, Sighting(SubmitStatus.SUBMITTED, candidate))
        self._log.info(
            "anchor.broadcast",
            tree=str(tree.id),
            transaction=candidate.transaction,
            fee=candidate.fee,
        )

    async def _tell(self, troubles: Sequence[str]) -> None:
        currency = self._chain.currency
        async with self._database.connection() as connection:
            if troubles:
                message, now = _storable(troubles[0]), self._clock.now()
                news = await queries.tell_trouble(
                    connection, self._environment, currency, message, now
                )
                if news:
                    self._log.warning("chain.waits", reason=message)
            elif await queries.end_trouble(connection, self._environment, currency):
                self._log.info("chain.goes_on")


def _storable(message: str) -> str:
    """A message may quote a node; PostgreSQL's text holds neither NUL nor half of a surrogate pair."""
    return message.encode(errors="backslashreplace").decode().replace("\0", r"\x00")
