"""A monitor: sees that a log only grows, and remembers what it saw.

In crash order, of one round:

1. The checkpoint is fetched, verified by the policy and held against the one that is remembered. Stopped
   here, nothing is remembered but what was before.
2. Evidence of a fault is on disk before anybody is told of it; a checkpoint that contradicts the
   remembered one never takes its place.
3. The new checkpoint, or what is to be told, is remembered. Stopped after it, the notice is sent in the
   next round: at least once, under one id.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from proof.core.clock import Clock, readable_text
from proof.core.errors import ProofError
from proof.follow.faults import Fault, LogFaultError
from proof.follow.files import alone_in
from proof.follow.source import newest
from proof.follow.state import Notice, State, StateFolder
from proof.follow.succession import LogPlace, closed_log, require_end, successions
from proof.follow.trust import Trust
from proof.follow.trusted import SignedCheckpoint, TrustedTree, fork, require_extension
from proof.follow.work import Progress, each, unseen
from proof.timestamps.anchors.log.tree import TILE_WIDTH

# A clock of another machine may be ahead of ours by this much.
_AHEAD: Final = timedelta(minutes=5)

# After so many bundles of entries it is remembered how far they were hashed.
_BUNDLES_A_STEP: Final = 64

# A log that is well and ill by turns must not fill the disk while nobody takes a notice.
_MAX_WAITING: Final = 100

Tell = Callable[[Notice], Awaitable[None]]
"""Tells people by one channel. Raises ProofError when it could not."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a monitor asks of a log beside growing only.

    `max_age`: how long it may stand still. `entries`: every entry is fetched and hashed. `against`:
    checkpoints that others got, with the names they are told by.
    """

    max_age: timedelta | None = None
    entries: bool = False
    against: Sequence[tuple[str, SignedCheckpoint]] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found; `fault` None: all is well. `kept` is the checkpoint remembered after it, None
    without any. `untold`: why a notice could not be sent."""

    at: datetime
    message: str
    fault: Fault | None = None
    evidence: Path | None = None
    kept: SignedCheckpoint | None = None
    grown_by: int = 0
    entries: int = 0
    grew_at: datetime | None = None
    untold: tuple[str, ...] = ()


@dataclass(slots=True)
class Monitor:
    """Follows one log."""

    source: LogPlace
    trust: Trust
    folder: StateFolder
    clock: Clock
    demands: Demands = Demands()
    channels: Mapping[str, Tell] = field(default_factory=dict)
    progress: Progress = unseen

    async def round(self) -> Round:
        """Look once.

        Raises StateError, OSError when the memory cannot be read or written, ConflictError when another
        process uses it.
        """
        with alone_in(self.folder.path):
            return await self._round()

    async def _round(self) -> Round:
        at, before = self.clock.now(), self.folder.read()
        fault = None
        try:
            await self._look(at, before)
        except LogFaultError as error:
            fault = error
        evidence = self.folder.keep(fault, at) if fault else None
        state = self._noted(self.folder.read(), fault, evidence, at)
        state, untold = await self._told(state)
        kept = _remembered(state)
        was = _remembered(before) or kept
        return Round(
            at,
            fault.message if fault else _well(kept, state, self.demands),
            fault.fault if fault else None,
            evidence,
            kept,
            kept.size - was.size if kept and was and kept.origin == was.origin else 0,
            state.entries,
            state.grew_at,
            untold,
        )

    async def _look(self, at: datetime, state: State) -> None:
        seen = self.trust.verify(await newest(self.source, known=bool(state.note)))
        kept = _remembered(state)
        if kept is not None and kept.origin != seen.origin:
            state, kept = await self._succeeded(state, kept, seen, at), None
        tree = await self._continued(kept, seen)
        if kept is None or seen.size > kept.size:
            state = msgspec.structs.replace(state, note=seen.note.decode(), grew_at=at)
            state = self.folder.write(state)
        elif seen.note != kept.note:
            state = self.folder.write(msgspec.structs.replace(state, note=seen.note.decode()))
        await self._hold_against(tree, seen)
        if self.demands.entries and state.entries < seen.size:
            await self._hash_entries(tree, seen, state)
        self._require_fresh(at, seen, state)

    async def _succeeded(
        self, state: State, kept: SignedCheckpoint, seen: SignedCheckpoint, at: datetime
    ) -> State:
        """What is remembered once another log follows the one of which `kept` was seen."""
        for note in state.closed:
            if SignedCheckpoint.remembered(note.encode()).origin == seen.origin:
                raise LogFaultError(
                    Fault.ROLLBACK,
                    f"rollback: the log {seen.origin} is shown, which was closed; {kept.origin} had"
                    " followed it",
                    {"older": note, "newer": kept.note.decode()},
                )
        steps = await successions(self.source, self.trust, kept, seen)
        told = [self._notice("log.succeeded", at, step.text) for step in steps]
        return msgspec.structs.replace(
            state,
            entries=0,
            closed=(*state.closed, *(step.final.note.decode() for step in steps)),
            notices=_waiting(*state.notices, *told) if self.channels else (),
        )

    async def _continued(
        self, kept: SignedCheckpoint | None, seen: SignedCheckpoint
    ) -> TrustedTree:
        """The tree of what is seen, which continues what is remembered."""
        if kept is not None and seen.size < kept.size:
            await self._require_begins(kept, seen)
            raise LogFaultError(
                Fault.ROLLBACK,
                f"rollback: the log shows its checkpoint of {seen.size} entries, and had shown one of"
                f" {kept.size}; an old copy is served, or entries were lost",
                {"older": kept.note.decode(), "newer": seen.note.decode()},
            )
        if kept is not None and seen.size == kept.size and seen.root != kept.root:
            raise fork(
                f"two checkpoints of {seen.size} entries are signed, with different roots",
                kept,
                seen,
            )
        tree = await TrustedTree.opened([self.source], seen)
        if kept is not None:
            await require_extension(tree, kept, seen)
        return tree

    async def _require_begins(self, kept: SignedCheckpoint, seen: SignedCheckpoint) -> None:
        """A smaller checkpoint may also be of another history, which the tiles of the larger one show if
        they are still served. Raises LogFaultError: FORK."""
        try:
            tree = await TrustedTree.opened([self.source], kept)
            await require_extension(tree, seen, kept)
        except LogFaultError as error:
            if error.fault is Fault.FORK:
                raise

    async def _hold_against(self, tree: TrustedTree, seen: SignedCheckpoint) -> None:
        for name, other in self.demands.against:
            if other.origin != seen.origin:
                await self._hold_closed_against(name, other)
                continue
            if other.size > seen.size:
                raise LogFaultError(
                    Fault.ROLLBACK,
                    f"rollback: {name} holds a signed checkpoint of {other.size} entries, and the log shows"
                    f" {seen.size}; an old copy is served, or entries were lost",
                    {"older": other.note.decode(), "newer": seen.note.decode()},
                )
            await require_extension(tree, other, seen)

    async def _hold_closed_against(self, name: str, other: SignedCheckpoint) -> None:
        closed = await closed_log(self.source, self.trust, other.origin)
        if closed is None:
            raise LogFaultError(
                Fault.BROKEN,
                f"broken: {name} is from the log {other.origin}, which is not shown here",
                {"checkpoint": other.note.decode()},
            )
        source, final = closed
        await require_end(source, other, final, whole=other.size < final.size)

    async def _hash_entries(self, tree: TrustedTree, seen: SignedCheckpoint, state: State) -> None:
        first, end = state.entries // TILE_WIDTH, -(-seen.size // TILE_WIDTH)
        with self.progress("hashing entries", end - first) as advance:

            async def hash_again(position: int) -> None:
                await tree.entries(position)
                advance(1)

            for start in range(first, end, _BUNDLES_A_STEP):
                stop = min(start + _BUNDLES_A_STEP, end)
                await each(range(start, stop), hash_again)
                done = min(stop * TILE_WIDTH, seen.size)
                state = self.folder.write(msgspec.structs.replace(state, entries=done))

    def _require_fresh(self, at: datetime, seen: SignedCheckpoint, state: State) -> None:
        """By the time that the quorum dated, or by when the size was first seen where it dated none."""
        if self.demands.max_age is None:
            return
        dated = _dated(seen)
        if dated is None or dated > at + _AHEAD:
            dated = state.grew_at or at
        if at - dated > self.demands.max_age:
            raise LogFaultError(
                Fault.STALE,
                f"stale: the newest checkpoint, of {seen.size} entries, is from {readable_text(dated)};"
                f" the log stands still for longer than {self.demands.max_age}",
            )

    def _noted(
        self, state: State, fault: LogFaultError | None, evidence: Path | None, at: datetime
    ) -> State:
        """With a notice for people if this is not what they were told last."""
        condition = "" if fault is None else fault.fault
        if condition == state.condition:
            return state
        notice = (
            self._notice("log.fault", at, fault.message, fault.fault, evidence)
            if fault
            else self._notice("log.recovered", at, "all is well again")
        )
        notices = _waiting(*state.notices, notice) if self.channels else ()
        return self.folder.write(
            msgspec.structs.replace(state, condition=condition, notices=notices)
        )

    def _notice(
        self,
        kind: str,
        at: datetime,
        message: str,
        fault: Fault | None = None,
        evidence: Path | None = None,
    ) -> Notice:
        found = str(evidence) if evidence else None
        return Notice(uuid4().hex, kind, at, fault, message, found, tuple(self.channels))

    async def _told(self, state: State) -> tuple[State, tuple[str, ...]]:
        """Send what waits, in its order; a channel that fails has the rest in the next round."""
        left: list[Notice] = []
        untold: dict[str, str] = {}
        for notice in state.notices:
            for channel in notice.channels:
                if channel in self.channels and channel not in untold:
                    try:
                        await self.channels[channel](notice)
                    except ProofError as error:
                        untold[channel] = error.message
            if waiting := tuple(filter(untold.__contains__, notice.channels)):
                left.append(msgspec.structs.replace(notice, channels=waiting))
        if tuple(left) != state.notices:
            state = self.folder.write(msgspec.structs.replace(state, notices=tuple(left)))
        return state, tuple(untold.values())


def _waiting(*notices: Notice) -> tuple[Notice, ...]:
    """Those that are kept until they are taken: the first ones, and the newest."""
    return notices if len(notices) <= _MAX_WAITING else (*notices[: _MAX_WAITING - 1], notices[-1])


def _dated(signed: SignedCheckpoint) -> datetime | None:
    time_s = signed.checkpoint.cosigned_time_s
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC)


def _remembered(state: State) -> SignedCheckpoint | None:
    return SignedCheckpoint.remembered(state.note.encode()) if state.note else None


def _well(kept: SignedCheckpoint | None, state: State, demands: Demands) -> str:
    assert kept is not None, "a round without a fault has seen a checkpoint"
    said = f"{kept.origin} has {kept.size} entries and continues all that was seen of it"
    return said + (f"; {state.entries} entries were hashed again" if demands.entries else "")
