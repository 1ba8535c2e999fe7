"""The policy that a log is published by: its witnesses can be asked, and its quorums overlap."""

from collections.abc import Mapping, Sequence

import pytest

from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.policy import (
    NO_WITNESSES,
    LogPolicyError,
    disjoint_quorums,
    read_policy,
)
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    SIGNATURE_BYTES,
    TIME_BYTES,
    checkpoint_body,
    parse_note,
    signature_line,
    signed_note,
)
from proof.verify.evidence.log.policy import parse_policy

KEYS: Mapping[str, SigningKey] = {
    name: SigningKey.generate(f"{name}.example", COSIGNER_KEY) for name in "abcdefgh"
}
LOG = SigningKey.generate("log.example", LOG_KEY)


def policy(rules: str, names: str = "abcdefgh") -> bytes:
    witnesses = "".join(f"witness {n} {KEYS[n].text} https://{n}.example/\n" for n in names)
    return (witnesses + rules).encode()


def test_witnesses_come_with_the_url_they_are_asked_at_and_logs_and_spares_are_left_out() -> None:
    raw = policy("group G 2 a b c\ngroup spare any d e\nquorum G\n")
    found = read_policy(f"log {LOG.text} https://log.example/\n".encode() + raw)
    assert found.logs == ()
    assert [(each.name, each.url) for each in found.witnesses] == [
        (name, f"https://{name}.example") for name in "abc"
    ]
    assert [group.name for group in found.groups] == ["G"]
    assert parse_policy(found.text()) == found


def test_no_quorum_is_no_witnesses() -> None:
    assert read_policy(policy("quorum none\n")) == NO_WITNESSES


@pytest.mark.parametrize(
    ("rules", "one", "other"),
    [
        ("group G any a b\nquorum G\n", "a", "b"),
        ("group G 2 a b c d\nquorum G\n", "a, b", "c, d"),
        ("group G any a b c\ngroup H all G d\ngroup Q any H e\nquorum Q\n", "a, d", "e"),
        ("group G any a b\ngroup H any c d\ngroup Q all G H\nquorum Q\n", "a, c", "b, d"),
        ("group G any a b\ngroup Q 2 G c d\nquorum Q\n", "a, c", "b, d"),
    ],
)
def test_two_quorums_without_a_witness_in_common_are_refused(
    rules: str, one: str, other: str
) -> None:
    with pytest.raises(LogPolicyError, match=f"in common, {one} and {other}: each could"):
        read_policy(policy(rules))
    found = parse_policy(policy(rules))
    quorums = disjoint_quorums(found)
    assert not set(quorums[0]) & set(quorums[1])
    assert all(map(found.satisfied, quorums))


def test_the_two_keys_of_one_witness_are_one_memory() -> None:
    pq = SigningKey.generate("a.example", MLDSA_COSIGNER_KEY)
    keys = f"witness pq {pq.text} https://a.example/\ngroup W any a pq\n".encode()
    assert read_policy(policy("", "abc") + keys + b"group G 2 W b c\nquorum G\n").quorum == "G"
    assert read_policy(policy("", "a") + keys + b"quorum W\n").quorum == "W"
    with pytest.raises(LogPolicyError, match="in common"):
        read_policy(policy("", "abc") + keys + b"group G any W b c\nquorum G\n")


def test_a_witness_under_another_s_name_is_no_second_key_of_it() -> None:
    """Otherwise a group of the two would be taken for one memory, and each of them for a quorum."""
    other = SigningKey.generate("a.example", COSIGNER_KEY)
    rules = f"witness other {other.text} https://other.example\ngroup W any a other\nquorum W\n"
    with pytest.raises(LogPolicyError, match=r"'a\.example' have two URLs"):
        read_policy(policy(rules, "a"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no quorum line"),
        (policy("quorum x\n"), "line 9"),
        (f"witness a {KEYS['a'].text}\nquorum a\n".encode(), "'a' has no URL"),
        (f"witness a {KEYS['a'].text} ftp://a.example\nquorum a\n".encode(), "not an http"),
        (f"witness a {KEYS['a'].text} http://u:p@a.example\nquorum a\n".encode(), "not an http"),
        (f"witness a {KEYS['a'].text} http://a.example/?b\nquorum a\n".encode(), "not an http"),
        (f"witness a {KEYS['a'].text} http://a:99999\nquorum a\n".encode(), "not an http"),
        (
            f"witness a {KEYS['a'].text} http://".encode() + b"\xff.example\nquorum a\n",
            "not an http",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_published_by_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(LogPolicyError, match=said):
        read_policy(raw)


def witnesses(count: int, quorum: int, types: Sequence[int], name: str = "w") -> bytes:
    """Witnesses that sign with a key of each of these types; `name` begins the names of all."""
    lines = []
    for n in range(count):
        keys = [SigningKey.generate(f"{name}{n}", each).text for each in types]
        lines += [f"witness {n}-{i} {key} http://a.example\n" for i, key in enumerate(keys)]
        lines.append(f"group {n} any {' '.join(f'{n}-{i}' for i in range(len(keys)))}\n")
    return (
        f"{''.join(lines)}group G {quorum} {' '.join(map(str, range(count)))}\nquorum G\n".encode()
    )


def test_a_checkpoint_has_room_for_all_who_may_cosign_it() -> None:
    found = read_policy(witnesses(30, 30, (COSIGNER_KEY, MLDSA_COSIGNER_KEY), "w" * 200))
    origin = "o" * 240
    own = [SigningKey.generate(origin, key) for key in (LOG_KEY, COSIGNER_KEY, MLDSA_COSIGNER_KEY)]
    lines = [
        signature_line(key.name, key.key_hash, bytes(TIME_BYTES + SIGNATURE_BYTES[key.key_type]))
        for key in [*(each.public for each in own), *(each.key for each in found.witnesses)]
    ]
    note = signed_note(checkpoint_body(origin, 2**63 - 1, bytes(32)), lines)
    assert len(parse_note(note).signatures) == 63


@pytest.mark.parametrize(
    "raw",
    [
        witnesses(31, 16, (COSIGNER_KEY, MLDSA_COSIGNER_KEY)),
        witnesses(30, 16, (COSIGNER_KEY,), "w" * 5_000),
    ],
    ids=["lines", "bytes"],
)
def test_a_policy_whose_cosignatures_no_checkpoint_has_room_for_is_refused(raw: bytes) -> None:
    with pytest.raises(LogPolicyError, match="a checkpoint has room for 61 keys"):
        read_policy(raw)
