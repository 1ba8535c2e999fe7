"""Closing a log for good, and what follows it, in crash order.

1. What witnesses hold is asked, under the lease of whoever publishes; no transaction is open, and appending
   goes on. Stopped there, nothing happened, and the lease ends by itself.
2. In one transaction, under the lock of the head: the log is closed with its final checkpoint, the private
   halves of its keys are removed, its successor is there with keys of its own and the first entry that
   names that checkpoint, and the rounds that no checkpoint published here holds wait to be logged there.
   Stopped before its commit, nothing happened. Whoever comes second finds the log closed and answers the
   same.

What was published between the two, as can be without witnesses, makes the first worth nothing: then both
are done again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from proof.core.clock import Clock
from proof.core.errors import BusyError, ConflictError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.audit import Actor, record
from proof.timestamps.anchors.log import keys, queries, retired
from proof.timestamps.anchors.log.final import Final, Held, last_published
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.policy import NO_WITNESSES
from proof.timestamps.anchors.log.queries import Head
from proof.timestamps.anchors.log.retired import RetiredLog
from proof.timestamps.anchors.log.service import LEASE_S, require_known_policy, root_at
from proof.verify.evidence.log.note import VerifierKeyError
from proof.verify.evidence.log.policy import Policy
from proof.verify.evidence.log.succession import predecessor_of

# For longer than a publisher that was killed keeps the lease.
_TRIES = 20
_PAUSE_S = 0.5

MAX_REASON = 500

Ask = Callable[[str], Awaitable[tuple[Sequence[Held], Mapping[str, str]]]]
"""What each witness holds of the log of an origin, and why those said nothing that did not answer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants. `log`: the origin of the log to close, None for the current one;
    `successor`: the origin of the next, None for one derived; `vouched`: the last published checkpoint,
    where neither this installation nor witnesses know it."""

    reason: str
    log: str | None = None
    successor: str | None = None
    vouched: bytes | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What closing a log would do. `published`: the size of the newest checkpoint that was published from
    here; `again`: how many rounds are logged again."""

    head: Head
    final: Final
    published: int
    kept_size: int
    again: int
    successor: str
    reason: str


class Retirement:
    """Closes one environment's log. `policy`: whose cosignatures publish, None where no setting says;
    `marks`: where this machine remembers what was signed."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        environment: str,
        policy: Policy | None,
        ask: Ask,
        marks: Marks,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._environment = environment
        self._given = policy
        self._policy = policy or NO_WITNESSES
        self._ask = ask
        self._marks = marks

    async def plan(self, order: Order) -> Plan | RetiredLog:
        """What would be done; a log that is closed already as it is.

        Raises InvalidInputError, NotFoundError, ConflictError, PolicyMissingError, FinalUnknownError,
        ForkedLogError.
        """
        _require_reason(order.reason)
        async with self._database.connection() as connection:
            done = await self._closed(connection, order.log)
            if done is not None:
                return done
            head = await queries.head(connection, self._environment)
            await require_known_policy(connection, head, self._given)
            order = replace(order, successor=await self._origin(connection, order.successor))
        held, unanswered = await self._ask(head.origin)
        # One snapshot, so that another run which closes the log meanwhile takes nothing of it away.
        async with self._database.snapshot() as connection:
            if (await queries.head(connection, self._environment)).log_id != head.log_id:
                raise ConflictError("the log was closed meanwhile; run the command again")
            return await self._planned(connection, head, order, held, unanswered)

    async def carry_out(self, order: Order, actor: Actor) -> RetiredLog:
        """Close the log that the order means when this is called. Raises as `plan` does, and BusyError."""
        async with self._database.connection() as connection:
            current = await queries.head(connection, self._environment)
        order = replace(order, log=order.log or current.origin)
        for _ in range(_TRIES):
            try:
                async with self._alone(current.log_id):
                    plan = await self.plan(order)
                    if isinstance(plan, RetiredLog):
                        return plan
                    async with self._database.transaction() as tx:
                        return await self._close(tx, plan, actor)
            except ConflictError:
                await asyncio.sleep(_PAUSE_S)
        raise BusyError("checkpoints were published all the while; run the command again")

    @asynccontextmanager
    async def _alone(self, log_id: int) -> AsyncIterator[None]:
        """Nobody asks witnesses to cosign a checkpoint of this log meanwhile. Raises ConflictError."""
        if self._policy.quorum is None:
            yield
            return
        owner = uuid4()
        async with self._database.transaction() as tx:
            if not await queries.take_lease(tx, log_id, owner, LEASE_S):
                raise ConflictError("a checkpoint is being published")
        try:
            yield
        finally:
            async with self._database.transaction() as tx:
                await queries.end_lease(tx, log_id, owner)

    async def _closed(self, connection: Connection, origin: str | None) -> RetiredLog | None:
        if origin is None:
            return None
        for found in await retired.logs(connection, self._environment):
            if found.origin == origin:
                return found
        current = (await queries.head(connection, self._environment)).origin
        if origin != current:
            raise NotFoundError(
                f"LOG: no {self._environment} log has the origin {origin!r}; the current one is {current}"
            )
        return None

    async def _planned(
        self,
        connection: Connection,
        head: Head,
        order: Order,
        held: Sequence[Held],
        unanswered: Mapping[str, str],
    ) -> Plan:
        newest = await queries.newest_checkpoint(connection, head.log_id)
        (log_key, *_) = await keys.public_keys(connection, head.log_id)
        own = await self._published_here(connection, head, newest)
        final = last_published(self._policy, log_key, own, order.vouched, held, unanswered)
        published = newest["size"] if newest else 0
        return Plan(
            head,
            final,
            published,
            await _kept(connection, head, final, published),
            await retired.count_rounds(connection, head.log_id, published),
            order.successor or "",
            order.reason,
        )

    async def _published_here(
        self, connection: Connection, head: Head, newest: Any
    ) -> bytes | None:
        """The newest checkpoint that was. Without witnesses that may be one that only this machine's mark
        remembers: its size and root, signed anew."""
        note = newest["note"].encode() if newest else None
        if self._policy.quorum is not None:
            return note
        signer = await keys.signer(connection, self._vault, head.log_id)
        marks = self._marks.of(head.label, signer.log.text)
        mark = max([await asyncio.to_thread(each.read) for each in marks])
        if mark.size <= (newest["size"] if newest else 0):
            return note
        return signer.sign(mark.size, mark.root, int(self._clock.now().timestamp()))

    async def _origin(self, connection: Connection, wanted: str | None) -> str:
        logs = await queries.logs(connection, self._environment)
        origin = wanted or f"{logs[0].origin}/{len(logs) + 1}"
        try:
            keys.require_name(origin)
        except VerifierKeyError:
            raise InvalidInputError(
                f"--origin: {origin!r} cannot name a log; write host and path, of at most 246 bytes,"
                " without spaces or plus signs"
            ) from None
        if await retired.origin_is_taken(connection, origin):
            raise InvalidInputError(f"--origin: {origin!r} names another log of this installation")
        return origin

    async def _close(self, tx: Connection, plan: Plan, actor: Actor) -> RetiredLog:
        """Raises ConflictError when the log moved on since the plan."""
        head = await queries.head(tx, self._environment, lock=True)
        newest = await queries.newest_checkpoint(tx, plan.head.log_id)
        published = newest["size"] if newest else 0
        if head.log_id != plan.head.log_id or published != plan.published:
            raise ConflictError("the log moved on")
        log_id, final = head.log_id, plan.final
        # What was appended since the plan changes how much is logged again, not what was kept.
        await retired.retire(
            tx, log_id, self._clock.now(), plan.reason, final.body, final.note, plan.kept_size
        )
        await keys.destroy(tx, log_id)
        entry = predecessor_of(final.note, plan.kept_size).entry
        await retired.follow(tx, log_id, plan.successor, entry)
        successor = await queries.head(tx, self._environment)
        await keys.ensure(tx, self._vault, successor)
        policy = await queries.policy_at(tx, log_id, final.body.size)
        if policy is not None:
            # Until a checkpoint says otherwise, verifiers are told to ask no less of it.
            await queries.store_policy(tx, successor.log_id, 0, policy)
        await retired.log_again(tx, log_id, published)
        await record(
            tx,
            actor,
            "log.retire",
            before={"environment": self._environment, "log": head.origin},
            after={
                "log": plan.successor,
                "reason": plan.reason,
                "final_size": final.body.size,
                "kept_size": plan.kept_size,
            },
        )
        return (await retired.logs(tx, self._environment))[-1]


async def vkey_of(database: Database, origin: str) -> str:
    """The verifier key of the log of an origin."""
    async with database.connection() as connection:
        logs = await queries.logs(connection)
        (log_id,) = [log.log_id for log in logs if log.origin == origin]
        return (await keys.verifier_keys(connection, log_id))[0]


async def _kept(connection: Connection, head: Head, final: Final, published: int) -> int:
    """How many of the final checkpoint's first entries are known to be here: all if they make its root, or
    else those that an earlier checkpoint of the same history was published over."""
    size = final.body.size
    if size <= head.size and await root_at(connection, head.log_id, size) == final.body.root:
        return size
    return published


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInputError(
            f"--reason: everybody will read it: one line of 1 to {MAX_REASON} printable characters"
        )
