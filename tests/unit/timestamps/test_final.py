"""Which checkpoint was the last to be published, whoever lost what."""

from collections.abc import Mapping, Sequence

import pytest

from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.final import (
    Final,
    FinalUnknownError,
    ForkedLogError,
    Held,
    last_published,
)
from proof.verify import verify_checkpoint
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    checkpoint_body,
    signed_note,
)
from proof.verify.evidence.log.policy import Group, Policy, Witness

LOG = SigningKey.generate("log.example", LOG_KEY)
OWN = SigningKey.generate("log.example/cosigner", COSIGNER_KEY)
NAMES = ("a", "b", "c")
KEYS = {name: SigningKey.generate(f"{name}.example", COSIGNER_KEY) for name in NAMES}
TWO_OF_THREE = Policy(
    (),
    tuple(Witness(name, KEYS[name].public) for name in NAMES),
    (Group("two", 2, NAMES),),
    "two",
)
NO_WITNESSES = Policy((), (), (), None)


def note(size: int, signers: Sequence[SigningKey], root: bytes = bytes(32)) -> bytes:
    body = checkpoint_body(LOG.name, size, root)
    lines = [key.sign(body) if key.key_type == LOG_KEY else key.cosign(body, 9) for key in signers]
    return signed_note(body, lines)


def published(size: int) -> bytes:
    return note(size, [LOG, OWN, KEYS["a"], KEYS["b"]])


def held(name: str, size: int, root: bytes = bytes(32)) -> Held:
    return Held((name,), note(size, [LOG, KEYS[name]], root) if size else None)


def final(
    own: bytes | None,
    *witnesses: Held,
    silent: Mapping[str, str] | None = None,
    vouched: bytes | None = None,
    policy: Policy = TWO_OF_THREE,
) -> Final:
    return last_published(policy, LOG.public, own, vouched, witnesses, silent or {})


@pytest.mark.parametrize(
    ("own", "sizes", "size"),
    [
        (9, (9, 9, 9), 9),
        (9, (9, 9, 0), 9),
        (9, (9, 5, 9), 9),
        (9, (11, 9, 9), 9),
        (9, (9, 9, None), 9),
        (9, (9, None, 9), 9),
        (4, (9, 9, 9), 9),
        (4, (9, 9, 7), 9),
        (4, (9, 9, None), 9),
        (0, (9, 9, 0), 9),
        (4, (9, 4, 4), 4),
    ],
)
def test_the_largest_that_a_quorum_can_have_published(
    own: int, sizes: tuple[int | None, ...], size: int
) -> None:
    answers = [
        held(name, found) for name, found in zip(NAMES, sizes, strict=True) if found is not None
    ]
    silent = {name: "down" for name, found in zip(NAMES, sizes, strict=True) if found is None}
    found = final(published(own) if own else None, *answers, silent=silent)
    assert found.body.size == size
    cosigners = [KEYS[name].public for name, each in zip(NAMES, sizes, strict=True) if each == size]
    checkpoint = verify_checkpoint(found.note, [LOG.public, *cosigners])
    assert checkpoint.log_key == LOG.public
    assert len(checkpoint.cosignatures) == len(cosigners)


@pytest.mark.parametrize(
    ("own", "sizes", "said"),
    [
        (0, (0, 0, 0), "published nothing"),
        (0, (9, 0, 0), "9 entries, held by a, have no quorum"),
        (9, (9, None, None), "b does not tell what it holds .down."),
        (9, (11, 9, None), "11 are held by a; c does not tell"),
        (4, (9, 7, 4), "9 are held by a; 7 are held by b"),
        (0, (None, None, None), "no published checkpoint of the log is known"),
    ],
)
def test_what_witnesses_leave_open_is_refused_with_what_they_said(
    own: int, sizes: tuple[int | None, ...], said: str
) -> None:
    answers = [
        held(name, found) for name, found in zip(NAMES, sizes, strict=True) if found is not None
    ]
    silent = {name: "down" for name, found in zip(NAMES, sizes, strict=True) if found is None}
    with pytest.raises(FinalUnknownError, match=said):
        final(published(own) if own else None, *answers, silent=silent)


def test_a_checkpoint_that_an_operator_vouches_for_settles_it() -> None:
    silent = dict.fromkeys(NAMES, "gone")
    assert final(published(4), silent=silent, vouched=published(9)).body.size == 9
    larger = final(None, held("a", 11), held("b", 11), vouched=published(9))
    assert larger.body.size == 11
    for forged in (note(9, [OWN]), b"no note"):
        with pytest.raises(FinalUnknownError, match="in the file given was not signed"):
            final(published(4), silent=silent, vouched=forged)
    with pytest.raises(FinalUnknownError, match="9 entries, in the file given, have no quorum"):
        final(None, silent=silent, vouched=note(9, [LOG, KEYS["a"]]))


def test_two_roots_for_one_size_are_told_and_nothing_is_chosen() -> None:
    other = bytes([1]) * 32
    for witnesses in (
        (held("a", 9), held("b", 9, other)),
        (held("a", 4, other), held("b", 9), held("c", 9)),
    ):
        with pytest.raises(ForkedLogError, match=f"two roots for . entries: .*{other.hex()}"):
            final(published(4), *witnesses)


def test_a_witness_cannot_stop_or_change_it_with_what_nobody_signed() -> None:
    stranger = SigningKey.generate("log.example", LOG_KEY)
    lying = Held(("c",), note(99, [stranger, KEYS["c"]]))
    assert final(published(4), held("a", 9), held("b", 9), lying).body.size == 9
    body = checkpoint_body(LOG.name, 9, bytes(32))
    forged = KEYS["a"].cosign(checkpoint_body(LOG.name, 8, bytes(32)), 9)
    planting = Held(("c",), signed_note(body, [LOG.sign(body), forged, KEYS["c"].cosign(body, 9)]))
    found = final(published(4), planting, held("a", 9), held("b", 9))
    assert len(verify_checkpoint(found.note, [LOG.public, KEYS["a"].public]).cosignatures) == 1


def test_without_a_quorum_what_was_published_here_was_published() -> None:
    assert final(note(9, [LOG, OWN]), policy=NO_WITNESSES).body.size == 9
    with pytest.raises(FinalUnknownError, match="published nothing"):
        final(None, policy=NO_WITNESSES)
