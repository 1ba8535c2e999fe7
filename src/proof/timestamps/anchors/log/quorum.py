"""The witnesses of a log's policy, asked together until its quorum is there.

Each witness has one call under way at a time, a deadline of its own, and after a failure a pause that
doubles. Who is not needed for the quorum any more goes on until its deadline, so that what it holds moves
along. What a witness holds is remembered: what it is offered next continues from there.

A witness that holds more than our log, or another history of it, is believed when it shows a checkpoint
with our own key's signature, which nobody else can make: then nothing is published, whoever else would
cosign it. Without that it is one that does not cosign, so that no single witness can stop a log by its
word.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn, Protocol

import structlog

from proof.core.clock import Clock
from proof.core.errors import OtherSideError, ProofError
from proof.timestamps.anchors.log.cosigning import (
    ASK_S,
    ContradictionError,
    WitnessClient,
    WitnessError,
    cosignatures,
)
from proof.timestamps.anchors.log.keys import Proposal
from proof.timestamps.anchors.log.mark import LogRolledBackError
from proof.timestamps.anchors.log.queries import WitnessState
from proof.verify.evidence.log.checkpoint import CheckpointBody
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy

ROUND_S: Final = ASK_S + 1.0
"""How long a quorum is waited for: a witness may still be busy with the checkpoint before."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 10.0

# One answer may name the size that it holds; who names yet another has another writer beside us.
_TRIES: Final = 3

_log = structlog.get_logger(__name__)


class QuorumMissingError(OtherSideError):
    """Too few witnesses cosigned; the checkpoint waits for more."""


class OvertakenError(ProofError):
    """A witness holds more than was offered, and the log has it: another worker was faster."""


class History(Protocol):
    """What our log holds."""

    async def size(self) -> int:
        """Of the head, as it is now."""
        ...

    async def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        ...

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The path that shows `new` entries to extend `old` entries."""
        ...


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a witness that failed is left alone: `first_s`, then twice as long each time."""

    first_s: float = _FIRST_PAUSE_S
    longest_s: float = _LONGEST_PAUSE_S


PAUSES: Final = Pauses()


class Witnesses:
    """All witnesses of one log, for one process. Made and closed on one running event loop."""

    def __init__(
        self, policy: Policy, log_key: VerifierKey, clock: Clock, pauses: Pauses = PAUSES
    ) -> None:
        self._policy = policy
        keys: dict[str, dict[str, VerifierKey]] = {}
        for witness in policy.counted():
            keys.setdefault(witness.url or "", {})[witness.name] = witness.key
        self._witnesses = [_Witness(url, keys[url], log_key, clock, pauses) for url in keys]
        self._stragglers: set[asyncio.Task[Mapping[str, bytes]]] = set()

    @property
    def states(self) -> list[WitnessState]:
        """What is known of each."""
        return [each.state for each in self._witnesses]

    def recall(self, known: Iterable[WitnessState]) -> None:
        """Take over what is known of those that were not asked here yet, or that hold more by now."""
        by_url = {state.url: state for state in known}
        for each in self._witnesses:
            found = by_url.get(each.state.url)
            if found is not None and (found.size > each.state.size or each.state == each.unknown):
                each.state = replace(found, names=each.state.names)

    async def cosigned(self, proposal: Proposal, history: History) -> list[bytes]:
        """The lines of a quorum, and of whoever else answered by then.

        Raises LogRolledBackError, OvertakenError, QuorumMissingError.
        """
        await self._require_no_contradiction(history)
        found, overtaken = await self._collected(proposal, history)
        await self._require_no_contradiction(history)
        if self._policy.satisfied(found.keys()):
            return list(found.values())
        if overtaken is not None:
            raise overtaken
        raise self._missing(proposal, found)

    async def _collected(
        self, proposal: Proposal, history: History
    ) -> tuple[dict[str, bytes], OvertakenError | None]:
        """Lines by the policy's names, until they are a quorum or nobody is left to wait for."""
        found: dict[str, bytes] = {}
        overtaken: OvertakenError | None = None
        loop = asyncio.get_running_loop()
        until = loop.time() + ROUND_S
        pending = {loop.create_task(each.ask(proposal, history)) for each in self._witnesses}
        try:
            while pending and not self._policy.satisfied(found.keys()):
                done, pending = await asyncio.wait(
                    pending, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    try:
                        found.update(task.result())
                    except OvertakenError as error:
                        overtaken = error
                    except WitnessError:
                        continue
        finally:
            self._let_go(pending)
        return found, overtaken

    async def problems(self, proposal: Proposal, history: History) -> dict[str, str | None]:
        """By its URL, why each witness does not cosign; None where it does. All are waited for."""
        answers = await asyncio.gather(
            *(each.ask(proposal, history) for each in self._witnesses), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ProofError):
                raise answer
        return {
            each.state.url: answer.message if isinstance(answer, ProofError) else None
            for each, answer in zip(self._witnesses, answers, strict=True)
        }

    def offer(self, proposal: Proposal, history: History) -> None:
        """Let those that hold less, and are not busy or left alone, cosign what is published already."""
        self._let_go(
            asyncio.create_task(each.ask(proposal, history))
            for each in self._witnesses
            if each.state.size < proposal.size and each.free
        )

    def _let_go(self, tasks: Iterable[asyncio.Task[Mapping[str, bytes]]]) -> None:
        for task in tasks:
            self._stragglers.add(task)
            task.add_done_callback(self._forget)

    async def close(self) -> None:
        """End what is under way, and close connections."""
        for task in self._stragglers:
            task.cancel()
        await asyncio.gather(*self._stragglers, return_exceptions=True)
        for each in self._witnesses:
            await each.close()

    def _forget(self, task: asyncio.Task[Mapping[str, bytes]]) -> None:
        self._stragglers.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, WitnessError | OvertakenError):
            _log.warning("witness.not_asked", exc_info=error)

    async def _require_no_contradiction(self, history: History) -> None:
        for each in self._witnesses:
            said = None if each.held is None else await contradiction(history, each.held)
            if said is not None:
                raise LogRolledBackError(
                    f"the witness {each.state.url} {said}. Nothing is published. {NEXT_STEP}"
                )

    def _missing(self, proposal: Proposal, found: Mapping[str, bytes]) -> ProofError:
        claims = [(each.claim, each.state.names) for each in self._witnesses if each.claim]
        # Where others are missing as well, they may be all that keeps the log waiting.
        if self._policy.satisfied({*found, *(name for _, names in claims for name in names)}):
            return LogRolledBackError(
                f"{claims[0][0].message}, which the log in the database is not, and the quorum is not"
                " reached without it. Nothing is published. It shows nothing that the log's own key signed,"
                f" so ask first who runs it. {NEXT_STEP}"
            )
        missing = "; ".join(
            f"{', '.join(set(each.state.names) - found.keys())}: {each.state.error or 'no answer yet'}"
            for each in self._witnesses
            if set(each.state.names) - found.keys()
        )
        return QuorumMissingError(
            f"{proposal.size} entries wait for the quorum of witnesses; missing: {missing}"
        )


NEXT_STEP: Final = (
    "Restore the newest backup, or stop the copy if this is one; if the entries are lost for good, close"
    " this log with `proof log retire`"
)


async def contradiction(history: History, held: CheckpointBody) -> str | None:
    """What a witness holds by our own key's signature and we do not, said of the witness; None where our
    log continues it."""
    own = await history.size()
    if own >= held.size:
        root = await history.root(held.size)
        if root == held.root:
            return None
        ours = f"has {root.hex()} at that size"
    else:
        ours = f"holds {own}"
    return (
        f"holds {held.size} entries of the log with the root {held.root.hex()}, signed by the log's own"
        f" key, and the database {ours}"
    )


class _Witness:
    """One witness, which may have several keys under one URL."""

    def __init__(
        self,
        url: str,
        keys: Mapping[str, VerifierKey],
        log_key: VerifierKey,
        clock: Clock,
        pauses: Pauses,
    ) -> None:
        self.state = self.unknown = WitnessState(url, tuple(keys))
        self.held: CheckpointBody | None = None
        self.claim: ContradictionError | None = None
        self._keys = keys
        self._log_key = log_key
        self._clock = clock
        self._pauses = pauses
        self._pause_s = 0.0
        self._asked_again_at = 0.0
        self._turn = asyncio.Lock()
        self._newest: Proposal | None = None
        self._client = WitnessClient(url)

    @property
    def free(self) -> bool:
        """Neither busy nor to be left alone."""
        return not self._turn.locked() and not self._resting

    @property
    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._asked_again_at

    async def ask(self, proposal: Proposal, history: History) -> Mapping[str, bytes]:
        """The lines it signed, by the policy's names. Raises WitnessError, OvertakenError."""
        self._newest = proposal
        async with self._turn:
            if self._newest is not proposal:
                return {}
            if self._resting:
                raise WitnessError(self.state.error or "")
            try:
                async with asyncio.timeout(ASK_S):
                    found = await self._asked(proposal, history)
            except TimeoutError:
                self._fail(f"no answer within {ASK_S:g} s")
            except ContradictionError as error:
                self.claim = error
                self.held = await self._client.newest(proposal.origin, self._log_key)
                if self.held is not None and not await contradiction(history, self.held):
                    # What it shows is ours, so its refusal says nothing of our log.
                    self.claim = self.held = None
                self._fail(error.message)
            except WitnessError as error:
                self._fail(error.message)
            self._succeed(proposal.size)
            return found

    async def close(self) -> None:
        await self._client.close()

    async def _asked(self, proposal: Proposal, history: History) -> Mapping[str, bytes]:
        old = self.state.size if self.state.size <= proposal.size else 0
        for _ in range(_TRIES):
            path = await _path(history, old, proposal.size)
            answer = await self._client.add_checkpoint(old, path, proposal)
            if isinstance(answer, bytes):
                now_s = int(self._clock.now().timestamp())
                return cosignatures(answer, proposal, self._keys, now_s)
            if answer > proposal.size:
                if answer <= await history.size():
                    self.state = replace(self.state, size=answer)
                    raise OvertakenError(f"the witness {self.state.url} holds {answer} entries")
                raise ContradictionError(
                    f"the witness {self.state.url} says that it holds {answer} entries", answer
                )
            if answer < self.state.size:
                _log.warning(
                    "witness.went_back",
                    witness=self.state.url,
                    held=self.state.size,
                    holds=answer,
                    meaning="it lost its memory; a witness that was restored must take a new key",
                )
            old = answer
        raise WitnessError(f"the witness {self.state.url} names another size each time")

    def _succeed(self, size: int) -> None:
        self.held = self.claim = None
        self._pause_s = self._asked_again_at = 0.0
        self.state = WitnessState(self.state.url, self.state.names, size, self._clock.now())

    def _fail(self, message: str) -> NoReturn:
        self._pause_s = min(self._pause_s * 2 or self._pauses.first_s, self._pauses.longest_s)
        self._asked_again_at = asyncio.get_running_loop().time() + self._pause_s
        since = self.state.failing_since or self._clock.now()
        self.state = replace(self.state, failing_since=since, error=message)
        raise WitnessError(message)


async def _path(history: History, old: int, new: int) -> Sequence[bytes]:
    return [] if old in {0, new} else await history.consistency(old, new)
