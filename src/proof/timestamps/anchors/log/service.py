"""The log's one writer, in crash order.

1. `append`: head row locked; entries, tiles and head in one transaction. Stopped before its commit,
   nothing happened; after it, the log has grown and nobody was told.
2. `publish` takes the lease, where witnesses are to be asked, and reads the head. Stopped there, the lease
   ends by itself.
3. The size is written to the high-water marks, then what is committed gets signed. Stopped after that, the
   same size is signed again: same root, later time.
4. Witnesses are asked; no connection and no lock is held meanwhile, and appending goes on. Stopped there,
   some of them hold a size that nobody has seen published; all of its entries are committed, so whoever
   publishes next continues from there.
5. With the quorum there, in one transaction: the lease is still ours and ends, the checkpoint with all
   cosignatures, the trees it verifies and their events. Stopped before its commit, no reader ever saw that
   checkpoint.

Without witnesses 2 to 5 are one transaction under the lock of the head.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import structlog

from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.core.loop import Again
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.events import publish as publish_events
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.keys import CheckpointSigner, Proposal
from proof.timestamps.anchors.log.mark import HighWaterMark, LogRolledBackError, Marks, SignedHead
from proof.timestamps.anchors.log.policy import without_urls
from proof.timestamps.anchors.log.quorum import (
    NEXT_STEP,
    PAUSES,
    ROUND_S,
    OvertakenError,
    Pauses,
    Witnesses,
)
from proof.timestamps.anchors.log.tree import (
    NodeReader,
    TileName,
    append,
    consistency_path,
    edge,
    inclusion_path,
    reader,
    root,
    tiles_read,
)
from proof.timestamps.anchors.notices import tree_events
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree
from proof.verify.evidence.log.note import end_of_second_ms
from proof.verify.evidence.log.policy import NO_QUORUM, Policy, parse_policy
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, leaf_hash

_APPEND_AT_ONCE = 1_000

# Longer than witnesses are waited for and the commit after them takes; a publisher that was killed holds up
# the next one for as long.
LEASE_S = ROUND_S + 2.0

# Nobody tells when the one that publishes is done.
_OTHERS_TURN_S = 0.2

_log = structlog.get_logger(__name__)


class PolicyMissingError(ProofError):
    """The log is published by a policy that this process was not given."""


class ClockBehindError(ProofError):
    """The clock shows a time before the newest checkpoint's."""


async def ensure_log(database: Database, vault: Vault, environment: str, origin: str) -> None:
    """Create an environment's log at the first start. The origin is fixed from then on."""
    async with database.transaction() as tx:
        await queries.create_first(tx, environment, origin, EMPTY_ROOT)
        await keys.ensure(tx, vault, await queries.head(tx, environment, lock=True))


class LogWriter:
    """Appends sealed rounds to one environment's current log and publishes what it holds.

    `marks`: where the high-water marks lie. `policy`: whose cosignatures publishing needs, with their
    URLs; None where no setting says, and then the log must not have a quorum already.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        environment: str,
        marks: Marks,
        policy: Policy | None = None,
        pauses: Pauses = PAUSES,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._environment = environment
        self._marks = marks
        self._policy = policy
        self._pauses = pauses
        self._signer: tuple[int, CheckpointSigner] | None = None
        self._witnesses: tuple[int, Witnesses] | None = None
        self._told: list[queries.WitnessState] = []

    @property
    def environment(self) -> str:
        """Whose log this writes."""
        return self._environment

    async def append(self) -> int:
        """Append sealed rounds to the log; answers how many."""
        async with self._database.connection() as connection:
            # Locking the head is written to the disk.
            if not await queries.unlogged_rounds(connection, self._environment, 1):
                return 0
        async with self._database.transaction() as tx:
            head = await queries.head(tx, self._environment, lock=True)
            rounds = await queries.unlogged_rounds(tx, self._environment, _APPEND_AT_ONCE)
            if not rounds:
                return 0
            before = await queries.tiles(tx, head.log_id, edge(head.size))
            entries = [Roots(row["root"], row["plain_root"]).joined for row in rounds]
            changed = append(head.size, before, list(map(leaf_hash, entries)))
            size = head.size + len(rounds)
            new_root = root(size, reader({**before, **changed}))
            await queries.store_entries(tx, head.log_id, head.size, rounds)
            await queries.store_tiles(tx, head.log_id, changed)
            await queries.store_head(tx, head.log_id, size, new_root)
        return len(rounds)

    async def publish(self) -> Again:
        """Publish the head if nobody has; whether there may be more to publish, or in how many seconds.

        Raises LogRolledBackError, ClockBehindError, PolicyMissingError, MarkUnreadableError,
        MarkUnwritableError: then nothing was signed, or nothing that anybody will see;
        QuorumMissingError: then asking again may do.
        """
        if self._policy is None or self._policy.quorum is None:
            return await self._publish_alone()
        return await self._publish_witnessed(self._policy)

    async def close(self) -> None:
        """End what is under way with witnesses."""
        if self._witnesses is not None:
            await self._witnesses[1].close()
            self._witnesses = None

    async def _publish_alone(self) -> bool:
        async with self._database.connection() as connection:
            if not await queries.unpublished(connection, self._environment):
                return False
        async with self._database.transaction() as tx:
            head = await queries.head(tx, self._environment, lock=True)
            newest = await queries.newest_checkpoint(tx, head.log_id)
            if (newest is not None and head.size == newest["size"]) or not head.size:
                return False
            await require_known_policy(tx, head, self._policy)
            signer = await self._keys(tx, head)
            due = await self._due(tx, head, newest, signer)
            proposal = signer.propose(head.size, head.root)
            await asyncio.to_thread(due.mark)
            await self._store(tx, due, proposal, signer.cosign(proposal.body, due.time_s))
        return True

    async def _publish_witnessed(self, policy: Policy) -> Again:
        owner = uuid4()
        async with self._database.transaction() as tx:
            head = await queries.head(tx, self._environment)
            newest = await queries.newest_checkpoint(tx, head.log_id)
            signer = await self._keys(tx, head)
            witnesses = await self._witnesses_of(head, signer, policy)
            if (newest is not None and head.size == newest["size"]) or not head.size:
                await self._tell(tx, head, witnesses)
                self._offer(head, newest, signer, witnesses)
                return False
            due = await self._due(tx, head, newest, signer)
            if not await queries.take_lease(tx, head.log_id, owner, LEASE_S):
                return _OTHERS_TURN_S
            witnesses.recall(await queries.witnesses(tx, head.log_id))
        proposal = signer.propose(head.size, head.root)
        await asyncio.to_thread(due.mark)
        own = signer.cosign(proposal.body, due.time_s)
        try:
            lines = await witnesses.cosigned(proposal, StoredHistory(self._database, head.log_id))
        except ProofError as error:
            async with self._database.transaction() as tx:
                await queries.end_lease(tx, head.log_id, owner)
                await self._tell(tx, head, witnesses)
            if isinstance(error, OvertakenError):
                return True
            raise
        async with self._database.transaction() as tx:
            current = await queries.head(tx, self._environment, lock=True)
            published = await queries.newest_checkpoint(tx, head.log_id)
            ours = await queries.end_lease(tx, head.log_id, owner)
            overtaken = published is not None and published["size"] >= head.size
            if ours and not overtaken and current.log_id == head.log_id:
                await self._store(tx, due, proposal, [*own, *lines])
            else:
                _log.warning("log.lease_lost", environment=self._environment, size=head.size)
            await self._tell(tx, head, witnesses)
        return True

    async def _due(
        self, connection: Connection, head: queries.Head, newest: Any, signer: CheckpointSigner
    ) -> "_Due":
        marks = self._marks.of(head.label, signer.log.text)
        for mark in marks:
            await _require_continuation(connection, head, mark)
        at = self._time_to_sign(newest["signed_at"] if newest else None)
        return _Due(head, newest["size"] if newest else 0, at, marks)

    async def _store(
        self, tx: Connection, due: "_Due", proposal: Proposal, cosignatures: list[bytes]
    ) -> None:
        log_id, size = due.head.log_id, due.head.size
        note = proposal.note + b"".join(cosignatures)
        await queries.store_checkpoint(tx, log_id, size, note, due.at)
        if self._policy is not None:
            text = without_urls(self._policy).text()
            if await queries.policy_at(tx, log_id, size) != text:
                await queries.store_policy(tx, log_id, size, text)
                if self._policy.quorum is None:
                    await queries.store_witnesses(tx, log_id, [])
        await self._announce(tx, log_id, due.published, size, due.at)

    async def _witnesses_of(
        self, head: queries.Head, signer: CheckpointSigner, policy: Policy
    ) -> Witnesses:
        if self._witnesses is None or self._witnesses[0] != head.log_id:
            await self.close()
            made = Witnesses(policy, signer.log.public, self._clock, self._pauses)
            self._witnesses = head.log_id, made
            self._told = []
        return self._witnesses[1]

    async def _tell(self, tx: Connection, head: queries.Head, witnesses: Witnesses) -> None:
        """Write down what is new of the witnesses, and log who fails and who no longer does."""
        states = witnesses.states
        if not self._told:
            witnesses.recall(await queries.witnesses(tx, head.log_id))
        if states == self._told:
            return
        await queries.store_witnesses(tx, head.log_id, states)
        failing = {state.url for state in self._told if state.failing_since is not None}
        for state in states:
            if state.failing_since is not None and state.url not in failing:
                _log.warning("witness.fails", witness=state.url, error=state.error)
            elif state.failing_since is None and state.url in failing:
                _log.info("witness.cosigns_again", witness=state.url)
        self._told = states

    def _offer(
        self, head: queries.Head, newest: Any, signer: CheckpointSigner, witnesses: Witnesses
    ) -> None:
        if newest is not None and any(state.size < head.size for state in witnesses.states):
            proposal = signer.propose(head.size, head.root)
            witnesses.offer(proposal, StoredHistory(self._database, head.log_id))

    async def _announce(
        self, tx: Connection, log_id: int, first: int, end: int, at: datetime
    ) -> None:
        existed_by_ms = end_of_second_ms(int(at.timestamp()))
        rows = await queries.verify_trees(tx, log_id, Currency.LOG, first, end, existed_by_ms)
        verified = [
            (
                row["partner_environment_id"],
                Tree(
                    row["id"],
                    Currency(row["currency_id"]),
                    SubmitStatus(row["status"]),
                    row["timestamp_ms"],
                    row["root"],
                    row["transaction"],
                ),
            )
            for row in rows
        ]
        await publish_events(tx, await tree_events(tx, verified))

    async def _keys(self, connection: Connection, head: queries.Head) -> CheckpointSigner:
        if self._signer is None or self._signer[0] != head.log_id:
            self._signer = head.log_id, await keys.signer(connection, self._vault, head.log_id)
        return self._signer[1]

    def _time_to_sign(self, newest: datetime | None) -> datetime:
        at = self._clock.now().replace(microsecond=0)
        if newest is not None and at < newest:
            raise ClockBehindError(f"the clock shows {at}, before the newest checkpoint's {newest}")
        return at


class _Due(NamedTuple):
    """What is to be published, and `published`, the size that was last."""

    head: queries.Head
    published: int
    at: datetime
    marks: Sequence[HighWaterMark]

    def mark(self) -> None:
        """Remember that it is signed, which it is after this."""
        for mark in self.marks:
            mark.write(SignedHead(self.head.size, self.head.root))

    @property
    def time_s(self) -> int:
        return int(self.at.timestamp())


class StoredHistory:
    """A log as the database has it; a connection is taken for each question."""

    def __init__(self, database: Database, log_id: int) -> None:
        self._database = database
        self._log_id = log_id

    async def size(self) -> int:
        async with self._database.connection() as connection:
            return await queries.size(connection, self._log_id)

    async def root(self, size: int) -> bytes:
        async with self._database.connection() as connection:
            return await root_at(connection, self._log_id, size)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        async with self._database.connection() as connection:
            return await consistency(connection, self._log_id, old, new)


async def require_known_policy(
    connection: Connection, head: queries.Head, policy: Policy | None
) -> None:
    """Raises PolicyMissingError for a log with witnesses where no setting says which."""
    text = await queries.policy_at(connection, head.log_id, head.size)
    if policy is None and text is not None and parse_policy(text).quorum is not None:
        raise PolicyMissingError(
            f"the {head.label} log is published with witnesses, and this process has no policy: name"
            f" its file in PROOF_LOG_POLICY_FILE, or say {NO_QUORUM} there to go on without them"
        )


async def _require_continuation(
    connection: Connection, head: queries.Head, mark: HighWaterMark
) -> None:
    signed = await asyncio.to_thread(mark.read)
    if head.size < signed.size:
        raise LogRolledBackError(
            f"the {head.label} log holds {head.size} entries, but {signed.size} were"
            f" signed ({mark.path}). Nothing is signed. {NEXT_STEP}"
        )
    if signed.size and await root_at(connection, head.log_id, signed.size) != signed.root:
        raise LogRolledBackError(
            f"the first {signed.size} entries of the {head.label} log are not those that"
            f" were signed ({mark.path}). Nothing is signed. {NEXT_STEP}"
        )


async def root_at(connection: Connection, log_id: int, size: int) -> bytes:
    """The root of the first `size` entries, from the stored tiles."""
    names = tiles_read(lambda node: root(size, node))
    return root(size, reader(await queries.tiles(connection, log_id, names)))


async def inclusions(
    connection: Connection, log_id: int, wanted: Collection[tuple[int, int]]
) -> dict[tuple[int, int], list[bytes]]:
    """Of each (position, size) the inclusion path of an entry in the log of that many entries."""

    def walk(node: NodeReader) -> dict[tuple[int, int], list[bytes]]:
        return {(at, size): inclusion_path(at, size, node) for at, size in wanted}

    return walk(reader(await queries.tiles(connection, log_id, tiles_read(walk))))


async def consistency(connection: Connection, log_id: int, old: int, new: int) -> list[bytes]:
    """The path that shows the log of `new` entries to extend that of `old` entries."""
    names: set[TileName] = tiles_read(lambda node: consistency_path(old, new, node))
    tiles = await queries.tiles(connection, log_id, names)
    return consistency_path(old, new, reader(tiles))
