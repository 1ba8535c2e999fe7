"""What a witness decides, against a model that keeps the whole log."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.witnessed_logs import NaiveLog, add_checkpoint

from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT
from proof.witness.decision import FIRST_HEAD, Head, decide, is_fork
from proof.witness.errors import (
    ClockBehindError,
    InconsistentError,
    MalformedRequestError,
    OtherSizeError,
)
from proof.witness.wire import AddCheckpoint, parse_add_checkpoint

ORIGIN = "log.example/decision"
LOG = NaiveLog(ORIGIN).grow(*(bytes([number]) for number in range(12)))
OTHER = LOG.fork(4).grow(*(b"other" + bytes([number]) for number in range(8)))
LINES = b"the log's line\n"
NOW_S = 1_800_000_000


def request(log: NaiveLog, old: int, new: int) -> AddCheckpoint:
    return parse_add_checkpoint(log.request(old, new))


def head(log: NaiveLog, size: int, time_s: int = NOW_S) -> Head:
    return Head(size, log.root(size), time_s, log.body(size), LINES)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 1), (0, 7), (1, 2), (4, 4), (4, 5), (7, 12)])
def test_what_extends_the_head_becomes_it(old: int, new: int) -> None:
    held = FIRST_HEAD if old == 0 else head(LOG, old)
    assert decide(held, request(LOG, old, new), LINES, NOW_S) == head(LOG, new)


def test_what_was_cosigned_is_cosigned_again_with_the_time_it_has_become() -> None:
    again = decide(head(LOG, 5), request(LOG, 5, 5), LINES, NOW_S + 60)
    assert again == head(LOG, 5, NOW_S + 60)


@pytest.mark.parametrize(("held", "old"), [(5, 0), (5, 4), (5, 6), (0, 3), (12, 5)])
def test_who_starts_elsewhere_is_told_the_size(held: int, old: int) -> None:
    present = FIRST_HEAD if held == 0 else head(LOG, held)
    with pytest.raises(OtherSizeError) as told:
        decide(present, request(LOG, old, 12), LINES, NOW_S)
    assert told.value.size == held


def test_a_start_beyond_the_checkpoint_is_malformed_whatever_is_held() -> None:
    beyond = parse_add_checkpoint(add_checkpoint(6, [], LOG.checkpoint(5)))
    for held in (FIRST_HEAD, head(LOG, 5), head(LOG, 6)):
        with pytest.raises(MalformedRequestError):
            decide(held, beyond, LINES, NOW_S)


@pytest.mark.parametrize(
    ("held", "forged"),
    [
        pytest.param(8, OTHER.request(8, 12), id="another history, with its own proof"),
        pytest.param(8, OTHER.request(8, 8), id="another root for the size held"),
        pytest.param(
            8, add_checkpoint(8, LOG.proof(8), OTHER.checkpoint()), id="a proof of the true history"
        ),
        pytest.param(8, add_checkpoint(8, [], LOG.checkpoint()), id="no proof"),
        pytest.param(8, add_checkpoint(8, LOG.proof(8)[:-1], LOG.checkpoint()), id="a short proof"),
        pytest.param(
            8, add_checkpoint(8, [*LOG.proof(8), bytes(32)], LOG.checkpoint()), id="a long proof"
        ),
        pytest.param(
            7, add_checkpoint(7, LOG.proof(7)[::-1], LOG.checkpoint()), id="a proof turned round"
        ),
        pytest.param(
            8, add_checkpoint(8, [bytes(32)], LOG.checkpoint(8)), id="a proof for the same size"
        ),
        pytest.param(
            0, add_checkpoint(0, [bytes(32)], LOG.checkpoint()), id="a proof from nothing"
        ),
    ],
)
def test_what_is_not_shown_to_extend_the_head_is_refused(held: int, forged: bytes) -> None:
    present = FIRST_HEAD if held == 0 else head(LOG, held)
    with pytest.raises(InconsistentError):
        decide(present, parse_add_checkpoint(forged), LINES, NOW_S)


def test_an_empty_log_has_the_root_of_nothing() -> None:
    empty = NaiveLog(ORIGIN)
    body = empty.body().replace(empty.body().split(b"\n")[2], b"A" * 43 + b"=")
    forged = parse_add_checkpoint(add_checkpoint(0, [], body + b"\n" + empty.key.sign(body)))
    with pytest.raises(InconsistentError):
        decide(FIRST_HEAD, forged, LINES, NOW_S)
    # It contradicts nothing that the log signed.
    assert not is_fork(FIRST_HEAD, forged.checkpoint)


def test_a_clock_behind_the_newest_cosignature_signs_nothing() -> None:
    with pytest.raises(ClockBehindError) as told:
        decide(head(LOG, 5), request(LOG, 5, 6), LINES, NOW_S - 7)
    assert told.value.retry_after_s == 7


def test_a_fork_is_another_root_for_the_size_held() -> None:
    held = head(LOG, 8)
    assert is_fork(held, request(OTHER, 8, 8).checkpoint)
    assert not is_fork(held, request(LOG, 8, 8).checkpoint)
    assert not is_fork(held, request(OTHER, 8, 9).checkpoint)
    assert not is_fork(FIRST_HEAD, request(NaiveLog(ORIGIN), 0, 0).checkpoint)


class Histories(RuleBasedStateMachine):
    """A log that forks at will sends what it likes; whatever is signed is one history, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.histories = [NaiveLog(ORIGIN).grow(b"0", b"1")]
        self.head = FIRST_HEAD
        self.signed: list[Head] = []
        self.now_s = NOW_S

    @rule(which=st.integers(0, 9), entries=st.lists(st.binary(max_size=3), min_size=1, max_size=3))
    def grow(self, which: int, entries: list[bytes]) -> None:
        self.histories[which % len(self.histories)].grow(*entries)

    @rule(which=st.integers(0, 9), size=st.integers(0, 20))
    def fork(self, which: int, size: int) -> None:
        chosen = self.histories[which % len(self.histories)]
        self.histories.append(chosen.fork(size % (len(chosen.leaves) + 1)))

    @rule(seconds=st.integers(-3, 3))
    def tick(self, seconds: int) -> None:
        self.now_s += seconds

    @rule(
        which=st.integers(0, 9),
        prover=st.integers(0, 9),
        old=st.one_of(st.none(), st.integers(0, 20)),
        new=st.integers(0, 20),
    )
    def send(self, which: int, prover: int, old: int | None, new: int) -> None:
        """`prover` is the history that the proof is of, mostly another one than the checkpoint's."""
        log = self.histories[which % len(self.histories)]
        new %= len(log.leaves) + 1
        old = self.head.size if old is None else old
        other = self.histories[prover % len(self.histories)]
        proof = other.proof(old, new) if new <= len(other.leaves) else log.proof(old, new)
        sent = parse_add_checkpoint(add_checkpoint(old, proof, log.checkpoint(new)))
        try:
            new_head = decide(self.head, sent, LINES, self.now_s)
        except (MalformedRequestError, OtherSizeError, InconsistentError, ClockBehindError):
            return
        assert new_head.time_s == self.now_s
        assert self._extends(log, new)
        self.head = new_head
        self.signed.append(new_head)

    @invariant()
    def sizes_and_times_do_not_go_back(self) -> None:
        assert self.signed == sorted(self.signed, key=lambda each: (each.size, each.time_s))

    @invariant()
    def no_size_has_two_roots(self) -> None:
        assert len({each.size for each in self.signed}) == len(
            {(each.size, each.root) for each in self.signed}
        )

    def _extends(self, log: NaiveLog, new: int) -> bool:
        """By the entries themselves, which a witness never sees."""
        return self.head.size <= new and log.root(self.head.size) == self.head.root


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_whatever_is_signed_is_one_history = Histories.TestCase


@given(st.integers(0, 12), st.integers(0, 12))
def test_every_honest_step_is_signed(old: int, new: int) -> None:
    old, new = sorted((old, new))
    held = head(LOG, old) if old else FIRST_HEAD
    assert decide(held, request(LOG, old, new), LINES, NOW_S).root == LOG.root(new)
    assert LOG.root(0) == EMPTY_ROOT
