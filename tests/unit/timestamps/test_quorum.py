"""Witnesses asked together: who is waited for, who is not, and what stops a log."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs
from tests.support.fake_witness import FakeWitness, Reply, fake_witness

from proof.core.clock import SystemClock
from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.keys import Proposal
from proof.timestamps.anchors.log.mark import LogRolledBackError
from proof.timestamps.anchors.log.policy import read_policy
from proof.timestamps.anchors.log.queries import WitnessState
from proof.timestamps.anchors.log.quorum import (
    OvertakenError,
    Pauses,
    QuorumMissingError,
    Witnesses,
)
from proof.timestamps.anchors.log.tree import Tiles, append, consistency_path, reader, root
from proof.verify import verify_checkpoint
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    checkpoint_body,
    signed_note,
)
from proof.verify.evidence.log.rfc6962 import leaf_hash

LOG = SigningKey.generate("log.example", LOG_KEY)
AT_ONCE = Pauses(0, 0)
FOR_EVER = Pauses(1e9, 1e9)


@dataclass
class Ledger:
    """A log in memory."""

    leaves: list[bytes] = field(default_factory=list)

    def grown(self, count: int, label: str = "") -> "Ledger":
        more = [leaf_hash(f"{label}{len(self.leaves) + n}".encode()) for n in range(count)]
        return Ledger([*self.leaves, *more])

    async def size(self) -> int:
        return len(self.leaves)

    async def root(self, size: int) -> bytes:
        return root(size, reader(self._tiles()))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        return consistency_path(old, new, reader(self._tiles()))

    def _tiles(self) -> Tiles:
        return append(0, {}, self.leaves)

    async def proposal(self, size: int | None = None) -> Proposal:
        size = len(self.leaves) if size is None else size
        found = await self.root(size)
        body = checkpoint_body(LOG.name, size, found)
        return Proposal(LOG.name, size, found, body, signed_note(body, [LOG.sign(body)]))


TEN = Ledger().grown(10)


@contextmanager
def three(
    quorum: str = "2", types: Sequence[int] = (COSIGNER_KEY,)
) -> Iterator[tuple[list[FakeWitness], str]]:
    """Three witnesses, and a policy of that many of them."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(fake_witness(f"w{n}.example", LOG.public, types)) for n in range(3)
        ]
        lines = "".join(each.lines(f"w{n}") for n, each in enumerate(found))
        yield found, f"{lines}group three {quorum} w0 w1 w2\nquorum three\n"


def run(
    policy: str, scene: Callable[[Witnesses], Awaitable[None]], pauses: Pauses = AT_ONCE
) -> None:
    async def whole() -> None:
        witnesses = Witnesses(read_policy(policy.encode()), LOG.public, SystemClock(), pauses)
        try:
            await scene(witnesses)
        finally:
            await witnesses.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what a straggler answered is told to nobody
            await asyncio.sleep(0.005)


def signers(proposal: Proposal, lines: list[bytes], found: list[FakeWitness]) -> set[str]:
    keys = [key.public for each in found for key in each.keys]
    note = signed_note(proposal.body, [LOG.sign(proposal.body), *lines])
    return {each.name for each in verify_checkpoint(note, keys).cosignatures}


def test_a_quorum_is_enough_and_a_dead_witness_costs_nothing() -> None:
    with three() as (found, policy):
        found[1].gate.clear()

        async def scene(witnesses: Witnesses) -> None:
            proposal = await TEN.proposal()
            lines = await witnesses.cosigned(proposal, TEN)
            assert signers(proposal, lines, found) == {"w0.example", "w2.example"}
            grown = TEN.grown(7)
            later = await grown.proposal()
            assert len(await witnesses.cosigned(later, grown)) == 2
            assert [state.size for state in witnesses.states] == [17, 0, 17]

        run(policy, scene)


def test_both_keys_of_a_witness_are_asked_for_once() -> None:
    with three(types=(0x04, 0x06)) as (found, policy):

        async def scene(witnesses: Witnesses) -> None:
            lines = await witnesses.cosigned(await TEN.proposal(), TEN)
            assert len(lines) in {4, 6}

        run(policy, scene)
        assert all(len(each.bodies) <= 1 for each in found)


def test_who_is_not_needed_goes_on_so_that_its_size_moves_along() -> None:
    with three() as (found, policy):
        slow = found[2]
        slow.gate.clear()

        async def scene(witnesses: Witnesses) -> None:
            await witnesses.cosigned(await TEN.proposal(), TEN)
            assert witnesses.states[2].size == 0
            slow.gate.set()
            await until(lambda: witnesses.states[2].size == 10)

        run(policy, scene)


def test_a_witness_names_the_size_to_go_on_from() -> None:
    with three("all") as (found, policy):
        known = [3, 7, 12]

        async def scene(witnesses: Witnesses) -> None:
            for each in found:
                each.forget(4, await TEN.root(4))
            witnesses.recall(
                WitnessState(each.url, ("x",), size)
                for each, size in zip(found, known, strict=True)
            )
            assert len(await witnesses.cosigned(await TEN.proposal(), TEN)) == 3
            assert {state.size for state in witnesses.states} == {10}

        run(policy, scene)
        assert [body.partition(b"\n")[0] for body in found[0].bodies] == [b"old 3", b"old 4"]
        assert found[2].bodies[0].startswith(b"old 0\n\n"), "more than the log has is not named"


def test_a_witness_that_forgot_is_told_by_its_url() -> None:
    with three("all") as (found, policy):

        async def scene(witnesses: Witnesses) -> None:
            await witnesses.cosigned(await TEN.proposal(), TEN)
            found[1].forget(4, await TEN.root(4))
            grown = TEN.grown(1)
            with capture_logs() as told:
                assert len(await witnesses.cosigned(await grown.proposal(), grown)) == 3
            (event,) = told
            assert (event["event"], event["witness"]) == ("witness.went_back", found[1].url)
            assert (event["held"], event["holds"]) == (10, 4)

        run(policy, scene)


def test_without_a_quorum_it_says_who_is_missing_and_why() -> None:
    with three() as (found, policy):
        for each in found[:2]:
            each.fault = lambda _body, _reply: Reply(404, b"no such log\n")

        async def scene(witnesses: Witnesses) -> None:
            with pytest.raises(QuorumMissingError) as caught:
                await witnesses.cosigned(await TEN.proposal(), TEN)
            said = caught.value.message
            assert "10 entries wait for the quorum" in said
            assert "w0-0: " in said
            assert "w1-0: " in said
            assert "404: 'no such log'" in said
            assert "w2-0" not in said
            failing = [state.failing_since is not None for state in witnesses.states]
            assert failing == [True, True, False]
            found[0].fault = None
            assert len(await witnesses.cosigned(await TEN.proposal(), TEN)) == 2
            assert witnesses.states[0].failing_since is None
            assert witnesses.states[0].error is None

        run(policy, scene)


def test_a_witness_that_failed_is_left_alone_for_a_while() -> None:
    with three() as (found, policy):
        for each in found:
            each.fault = lambda _body, _reply: Reply(500)

        async def scene(witnesses: Witnesses) -> None:
            for _ in range(20):
                with pytest.raises(QuorumMissingError, match="status 500"):
                    await witnesses.cosigned(await TEN.proposal(), TEN)

        run(policy, scene, FOR_EVER)
        assert [len(each.bodies) for each in found] == [1, 1, 1]


LOST = Ledger().grown(6)
OTHER = Ledger().grown(6).grown(4, "another history")


@pytest.mark.parametrize(
    ("ledger", "said"),
    [(LOST, "and the database holds 6"), (OTHER, "and the database has")],
    ids=["entries were lost", "another history"],
)
def test_a_witness_that_shows_our_own_signature_stops_the_log(ledger: Ledger, said: str) -> None:
    """Even if the others would cosign: they may have lost their memory together."""
    with three() as (found, policy):

        async def scene(witnesses: Witnesses) -> None:
            await witnesses.cosigned(await TEN.proposal(), TEN)
            await until(lambda: all(state.size == 10 for state in witnesses.states))

        async def after(witnesses: Witnesses) -> None:
            for each in found[:2]:
                each.forget(6, await LOST.root(6))
                each.gate.clear()
            asked = asyncio.create_task(witnesses.cosigned(await ledger.proposal(), ledger))
            await until(lambda: witnesses.states[2].failing_since is not None)
            for each in found[:2]:
                each.gate.set()
            for attempt in (asked, witnesses.cosigned(await ledger.proposal(), ledger)):
                with pytest.raises(LogRolledBackError) as caught:
                    await attempt
                message = caught.value.message
                assert f"{found[2].url} holds 10 entries" in message
                assert (await TEN.root(10)).hex() in message
                assert said in message
                assert "proof log retire" in message
            if ledger is OTHER:
                return
            # What was lost is restored.
            whole = TEN.grown(1)
            for each in found:
                each.fault = None
            assert len(await witnesses.cosigned(await whole.proposal(), whole)) >= 2

        run(policy, scene)
        run(policy, after)


def test_a_claim_without_our_signature_stops_only_a_log_that_needs_that_witness() -> None:
    with three() as (found, policy):
        found[0].shows = False
        found[0].fault = lambda _body, _reply: Reply(409, b"999999\n")

        async def scene(witnesses: Witnesses) -> None:
            assert len(await witnesses.cosigned(await TEN.proposal(), TEN)) == 2
            found[1].fault = lambda _body, _reply: Reply(500)
            grown = TEN.grown(1)
            while True:
                with pytest.raises((LogRolledBackError, QuorumMissingError)) as caught:
                    await witnesses.cosigned(await grown.proposal(), grown)
                if isinstance(caught.value, LogRolledBackError):
                    break
            assert "says that it holds 999999 entries" in caught.value.message
            assert "so ask first who runs it" in caught.value.message

        run(policy, scene)


def test_a_claim_without_our_signature_is_not_taken_for_the_reason_where_others_are_away() -> None:
    with three() as (found, policy):
        for each in found:
            each.shows = False
        found[0].fault = lambda _body, _reply: Reply(422)
        for each in found[1:]:
            each.fault = lambda _body, _reply: Reply(503, b"away\n")

        async def scene(witnesses: Witnesses) -> None:
            with pytest.raises(QuorumMissingError) as caught:
                await witnesses.cosigned(await TEN.proposal(), TEN)
            assert "w0-0: " in caught.value.message
            assert "refuses 10 entries" in caught.value.message
            assert caught.value.message.count("503: 'away'") == 2

        run(policy, scene)


@pytest.mark.parametrize("status", [409, 422])
def test_a_refusal_beside_a_checkpoint_that_is_ours_is_no_contradiction(status: int) -> None:
    with three("all") as (found, policy):

        async def scene(witnesses: Witnesses) -> None:
            await witnesses.cosigned(await TEN.proposal(), TEN)
            found[0].fault = lambda body, reply: Reply(status, b"10\n") if body else reply
            with pytest.raises(QuorumMissingError, match="w0-0: "):
                await witnesses.cosigned(await TEN.proposal(), TEN)

        run(policy, scene)


def test_a_witness_ahead_of_the_proposal_but_not_of_the_log_was_asked_by_another_worker() -> None:
    with three("all") as (found, policy):
        found[0].fault = None

        async def scene(witnesses: Witnesses) -> None:
            found[0].forget(8, await TEN.root(8))
            with pytest.raises(OvertakenError, match="holds 8 entries"):
                await witnesses.cosigned(await TEN.proposal(5), TEN)
            assert len(await witnesses.cosigned(await TEN.proposal(), TEN)) == 3

        run(policy, scene, FOR_EVER)


@pytest.mark.parametrize("seconds", [3600, -3600, 10**12])
def test_a_clock_that_is_wrong_counts_for_nothing(seconds: int) -> None:
    with three() as (found, policy):
        found[0].clock_s = seconds

        async def scene(witnesses: Witnesses) -> None:
            proposal = await TEN.proposal()
            lines = await witnesses.cosigned(proposal, TEN)
            assert "w0.example" not in signers(proposal, lines, found)
            await until(lambda: "from our clock" in (witnesses.states[0].error or ""))

        run(policy, scene)


def test_one_that_names_another_size_each_time_is_not_asked_for_ever() -> None:
    with three("all") as (found, policy):
        sizes = iter(range(1, 9))
        found[0].fault = lambda _body, _reply: Reply(409, b"%d\n" % next(sizes))

        async def scene(witnesses: Witnesses) -> None:
            with pytest.raises(QuorumMissingError, match="another size each time"):
                await witnesses.cosigned(await TEN.proposal(), TEN)

        run(policy, scene)
        assert len(found[0].bodies) == 3


def test_trouble_of_our_own_is_no_witness_that_fails() -> None:
    class Away(Ledger):
        async def consistency(self, old: int, new: int) -> list[bytes]:
            raise RuntimeError("the database is away")

    with three() as (_, policy):

        async def scene(witnesses: Witnesses) -> None:
            five = Ledger(TEN.leaves[:5])
            await witnesses.cosigned(await five.proposal(), five)
            away = Away(TEN.leaves)
            with pytest.raises(RuntimeError, match="away"):
                await witnesses.cosigned(await away.proposal(), away)

        run(policy, scene)
