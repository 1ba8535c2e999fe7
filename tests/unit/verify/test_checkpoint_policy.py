"""Checkpoints by a policy: which cosignatures it takes, and what time they establish together."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.signer import LOG, ORIGIN, Signer

from proof.verify import Checkpoint, Policy, errors, parse_policy, verify_checkpoint
from proof.verify.evidence.log import note

BODY = note.checkpoint_body(ORIGIN, 7, bytes(range(32)))
W1, W2, W3 = (Signer.named(f"w{n}.example", note.COSIGNER_KEY) for n in (1, 2, 3))
PQ1 = Signer.named("w1.example", note.MLDSA_COSIGNER_KEY)
WITNESSES = f"log {LOG.text}\nwitness w1 {W1.text}\nwitness w2 {W2.text}\nwitness w3 {W3.text}\n"
PARTY = f"log {LOG.text}\nwitness ed {W1.text}\nwitness pq {PQ1.text}\nwitness w2 {W2.text}\n"
LATEST_S = 253_402_300_798  # the second that ends with the year 9999


def policy(text: str) -> Policy:
    return parse_policy(text.encode())


TWO_OF_THREE = policy(f"{WITNESSES}group g 2 w1 w2 w3\nquorum g\n")


def checked(trusted: Policy, lines: Iterable[tuple[Signer, int]]) -> Checkpoint:
    signed = [LOG.line(BODY), *(signer.line(BODY, time_s) for signer, time_s in lines)]
    return verify_checkpoint(note.signed_note(BODY, signed), trusted)


@pytest.mark.parametrize(
    ("lines", "time_s"),
    [
        ([(W1, 90), (W2, 80)], 90),
        ([(W2, 80), (W1, 90)], 90),
        ([(W1, 90), (W2, 80), (W3, 85)], 85),
        ([(W1, 90), (W2, 90), (W3, 90)], 90),
        ([(W1, 0), (W2, 80), (W3, 85)], 85),
        ([(W1, 0), (W2, 80)], None),
        ([(W1, 0), (W2, 0), (W3, 0)], None),
        ([(W1, LATEST_S), (W2, 80)], LATEST_S),
        ([(W1, LATEST_S + 1), (W2, 80)], None),
        ([(W1, 2**63 - 1), (W2, 80), (W3, 81)], 81),
    ],
)
def test_the_time_is_when_the_quorum_was_reached(
    lines: list[tuple[Signer, int]], time_s: int | None
) -> None:
    checkpoint = checked(TWO_OF_THREE, lines)
    assert checkpoint.quorum_reached
    assert checkpoint.cosigned_time_s == time_s
    assert checkpoint.existed_by_ms == (None if time_s is None else (time_s + 1) * 1000)


@pytest.mark.parametrize("lines", [[], [(W1, 80)], [(W3, 0)]])
def test_without_the_quorum_nothing_is_said_of_time(lines: list[tuple[Signer, int]]) -> None:
    checkpoint = checked(TWO_OF_THREE, lines)
    assert not checkpoint.quorum_reached
    assert checkpoint.cosigned_time_s is None
    signed = [signer.name.removesuffix(".example") for signer, _ in lines]
    assert [w.name for w in checkpoint.missing] == [
        name for name in ("w1", "w2", "w3") if name not in signed
    ]


def test_the_two_keys_of_a_witness_count_once() -> None:
    trusted = policy(f"{PARTY}group w1 any ed pq\ngroup both all w1 w2\nquorum both\n")
    assert not checked(trusted, [(W1, 80), (PQ1, 80)]).quorum_reached
    assert checked(trusted, [(W1, 80), (W2, 90)]).cosigned_time_s == 90
    assert checked(trusted, [(PQ1, 80), (W2, 70)]).cosigned_time_s == 80
    assert checked(trusted, [(PQ1, 80), (W1, 75), (W2, 70)]).cosigned_time_s == 75


def test_a_policy_of_no_quorum_establishes_no_time() -> None:
    checkpoint = checked(policy(f"{WITNESSES}quorum none\n"), [(W1, 80), (W2, 90), (W3, 70)])
    assert checkpoint.quorum_reached
    assert checkpoint.log_key == LOG.key
    assert (checkpoint.cosigned_time_s, checkpoint.missing) == (None, ())


def test_witnesses_outside_the_quorum_do_not_count() -> None:
    trusted = policy(f"{WITNESSES}quorum w2\n")
    assert checked(trusted, [(W1, 70), (W2, 90)]).cosigned_time_s == 90
    assert [w.name for w in checked(trusted, [(W1, 70), (W3, 70)]).missing] == ["w2"]


def test_a_witness_outside_the_quorum_that_signed_wrongly_refuses_the_note() -> None:
    """Its key is known, so its line is verified: signed-note says so."""
    wrong = note.signature_line(W1.name, W1.key.key_hash, bytes(72))
    text = note.signed_note(BODY, [LOG.line(BODY), wrong, W2.line(BODY)])
    with pytest.raises(errors.SignatureError):
        verify_checkpoint(text, policy(f"{WITNESSES}quorum w2\n"))


def test_every_line_is_named() -> None:
    stranger = Signer.named("stranger.example", note.COSIGNER_KEY)
    namesake = Signer.named("w1.example", note.COSIGNER_KEY, seed="another")
    checkpoint = checked(TWO_OF_THREE, [(W1, 80), (stranger, 70), (W2, 0), (namesake, 60)])
    assert [
        (line.name, line.signer and line.signer.key, line.time_s) for line in checkpoint.lines
    ] == [
        (ORIGIN, LOG.key, None),
        ("w1.example", W1.key, 80),
        ("stranger.example", None, None),
        ("w2.example", W2.key, 0),
        ("w1.example", None, None),
    ]
    assert [c.witness for c in checkpoint.cosignatures] == ["w1", "w2"]


def test_a_trust_file_holds_a_chain_of_logs() -> None:
    successor = Signer.named("log.example/next", note.LOG_KEY)
    trusted = policy(f"log {successor.text}\n{WITNESSES}quorum w1\n")
    body = note.checkpoint_body(successor.name, 1, bytes(32))
    text = note.signed_note(body, [successor.line(body), W1.line(body, 80)])
    assert verify_checkpoint(text, trusted).log_key == successor.key
    assert checked(trusted, [(W1, 80)]).log_key == LOG.key
    forged = note.signed_note(body, [LOG.line(body), W1.line(body, 80)])
    with pytest.raises(errors.NotSignedByLogKeyError):
        verify_checkpoint(forged, trusted)


def test_a_log_that_the_policy_does_not_name_is_not_established() -> None:
    trusted = policy(f"witness w1 {W1.text}\nquorum w1\n")
    assert checked(trusted, [(W1, 80)]).log_key is None
    assert checked(trusted.with_logs([LOG.key, W2.key]), [(W1, 80)]).log_key == LOG.key
    assert (
        trusted.with_logs([LOG.key]).with_logs([LOG.key]).logs == trusted.with_logs([LOG.key]).logs
    )


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from([W1, W2, W3]), st.integers(0, 5)), unique_by=lambda t: t[0]),
)
def test_the_time_is_the_earliest_by_which_enough_had_signed(
    threshold: int, lines: list[tuple[Signer, int]]
) -> None:
    trusted = policy(f"{WITNESSES}group g {threshold} w1 w2 w3\nquorum g\n")
    dated = sorted(time_s for _, time_s in lines if time_s)
    expected = dated[threshold - 1] if len(dated) >= threshold else None
    assert checked(trusted, lines).cosigned_time_s == expected
