"""Policies in tlog-policy's syntax: what is read, refused, satisfied and split."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    PUBLIC_KEY_BYTES,
    VerifierKey,
    key_hash,
    verifier_key,
)
from proof.verify.evidence.log.policy import (
    MAX_POLICY_BYTES,
    Group,
    Log,
    Policy,
    PolicyError,
    Witness,
    parse_policy,
)


def key(seed: str, key_type: int = COSIGNER_KEY, name: str | None = None) -> VerifierKey:
    raw = sha256(seed.encode()).digest() * 41
    public, name = raw[: PUBLIC_KEY_BYTES[key_type]], name or f"{seed}.example"
    return VerifierKey(name, key_type, public, key_hash(name, key_type, public))


def vkey(seed: str, key_type: int = COSIGNER_KEY, name: str | None = None) -> str:
    made = key(seed, key_type, name)
    return verifier_key(made.name, key_type, made.public_key)


LOG = vkey("log", LOG_KEY)
A, B, C = (vkey(seed) for seed in "ABC")
PQ = vkey("A", MLDSA_COSIGNER_KEY)
EXAMPLE = f"""\
log {LOG}

witness X1 {vkey("X1")}
witness X2 {vkey("X2")}
witness X3 {vkey("X3")}
group X-witnesses 2 X1 X2 X3

witness Y1 {vkey("Y1")}
witness Y2 {vkey("Y2")}
witness Y3 {vkey("Y3")}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()


def test_the_example_of_the_specification() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy.logs == (Log(key("log", LOG_KEY)),)
    assert [witness.name for witness in policy.witnesses] == ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert policy.witnesses[3] == Witness("Y1", key("Y1"))
    assert policy.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert policy.quorum == "X-and-Y"
    assert policy.satisfied({"X1", "X3", "Y2"})
    assert not policy.satisfied({"X1", "X2", "X3"})
    assert not policy.satisfied({"X1", "Y1", "Y2", "Y3"})
    assert not policy.splits()


def test_spaces_tabs_comments_urls_and_any_order() -> None:
    policy = parse_policy(
        f"# whose word counts \x7f?\n\t \n \twitness \t a {A}  https://a.example/w/ \t\n"
        f"\t# witness b {B}\nquorum a\nwitness #b {B}\nlog {LOG} tlog.example\n".replace(
            "\x7f", "é"
        ).encode()
    )
    assert policy.witnesses == (
        Witness("a", key("A"), "https://a.example/w/"),
        Witness("#b", key("B")),
    )
    assert policy.logs == (Log(key("log", LOG_KEY), "tlog.example"),)
    assert policy.quorum == "a"


def test_names_are_opaque_octets() -> None:
    names = [b"K", "\u212a".encode(), b"\xff\x80", "\u00a0".encode(), b"all"]
    lines = [b"witness %s %s\n" % (name, vkey(str(n)).encode()) for n, name in enumerate(names)]
    raw = b"".join(lines) + b"group any all " + b" ".join(names) + b"\nquorum any\n"
    policy = parse_policy(raw)
    assert [w.name.encode(errors="surrogateescape") for w in policy.witnesses] == names
    assert policy.text() == raw


def test_a_log_may_sign_with_several_keys_and_share_its_key_with_no_other() -> None:
    second = vkey("second", LOG_KEY, name="log.example")
    assert len(parse_policy(f"log {LOG}\nlog {second}\nquorum none\n".encode()).logs) == 2


ONE = f"witness a {A}\n"
TWO = ONE + f"witness b {B}\n"
PAIR = TWO + "group g any a b\n"
HASH = key("A").key_hash.hex()
MALFORMED = {
    "empty": ("", "no quorum line"),
    "no quorum": (ONE, "no quorum line"),
    "two quorums": (ONE + "quorum a\nquorum a\n", "line 3 .* second quorum"),
    "two quorums of none": ("quorum none\nquorum none\n", "line 2 .* second quorum"),
    "quorum of nothing": ("quorum\n", "line 1 .* `quorum <name>`"),
    "quorum of two": (TWO + "quorum a b\n", "line 3 .* `quorum <name>`"),
    "quorum before its witness": ("quorum a\n" + ONE, "line 1 .* 'a' is defined on no line before"),
    "quorum of a log": (f"log {LOG}\nquorum log.example\n", "line 2 .* defined on no line before"),
    "cut off": (ONE + "quorum a", "line 2 .* cut off"),
    "carriage return": (ONE + "quorum a\r\n", "line 2 .* 0x0d"),
    "vertical tab": ("quorum\x0bnone\n", "line 1 .* 0x0b"),
    "delete": ("# \x7f\nquorum none\n", "line 1 .* 0x7f"),
    "zero": ("quorum none\n\x00\n", "line 2 .* 0x00"),
    "unknown keyword": ("quorum none\nwitnesses a\n", "line 2 .* 'witnesses' is none of"),
    "keyword in capitals": ("Quorum none\n", "line 1 .* 'Quorum' is none of"),
    "Unicode's space": ("quorum\u00a0none\n", "line 1 .* is none of"),
    "comment behind a line": ("quorum none # of them\n", "line 1 .* `quorum <name>`"),
    "log without key": ("log\nquorum none\n", "line 1 .* `log <vkey>"),
    "log with three items": (f"log {LOG} a b\nquorum none\n", "line 1 .* `log <vkey>"),
    "log with a cosigner's key": (f"log {A}\nquorum none\n", "line 1 .* is a cosigner's"),
    "log with an ML-DSA key": (f"log {PQ}\nquorum none\n", "line 1 .* is a cosigner's"),
    "log twice": (f"log {LOG}\nlog {LOG} url\nquorum none\n", "line 2 .* given twice"),
    "log's key under another name": (
        f"log {LOG}\nlog {vkey('log', LOG_KEY, 'other')}\nquorum none\n",
        "line 2 .* given twice",
    ),
    "witness without key": ("witness a\nquorum none\n", "line 1 .* `witness <name>"),
    "witness with four items": (ONE[:-1] + " b c\nquorum none\n", "line 1 .* `witness <name>"),
    "witness with a log's key": (f"witness a {LOG}\nquorum none\n", "line 1 .* is a log's"),
    "witness with a malformed key": ("witness a b\nquorum none\n", "line 1 .* verifier key reads"),
    "witness with a wrong key hash": (
        ONE.replace(HASH, "00000000") + "quorum a\n",
        f"line 1 .* this key's is {HASH}",
    ),
    "key of an unknown type": (
        f"witness a a+00000000+{b64encode(bytes([2]) * 33).decode()}\nquorum a\n",
        "line 1 .* key type 0x02",
    ),
    "witness's key twice": (ONE + f"witness b {A}\nquorum a\n", "line 2 .* given twice"),
    "witness's key under another name": (
        ONE + f"witness b {vkey('A', name='other')}\nquorum a\n",
        "line 2 .* given twice",
    ),
    "witness's name twice": (ONE + f"witness a {B}\nquorum a\n", "line 2 .* 'a' is defined twice"),
    "witness named none": (f"witness none {A}\nquorum none\n", "line 1 .* meaning of its own"),
    "group without members": (ONE + "group g any\nquorum a\n", "line 2 .* `group <name>"),
    "group without rule": ("group g\nquorum none\n", "line 1 .* `group <name>"),
    "group named none": (ONE + "group none any a\nquorum none\n", "line 2 .* meaning of its own"),
    "group with a witness's name": (ONE + "group a any a\nquorum a\n", "line 2 .* 'a' is defined twice"),
    "group twice": (PAIR + f"witness c {C}\ngroup g any c\nquorum g\n", "line 5 .* defined twice"),
    "group of itself": ("group g any g\nquorum g\n", "line 1 .* 'g' is defined on no line before"),
    "group of a later witness": ("group g any a\n" + ONE + "quorum g\n", "line 1 .* no line before"),
    "group of none": ("group g any none\nquorum g\n", "line 1 .* `none` is no member"),
    "member twice in a group": (ONE + "group g any a a\nquorum g\n", "line 2 .* already a member"),
    "member of two groups": (PAIR + "group h any a\nquorum h\n", "line 4 .* 'a' is already a member"),
    "threshold 0": (TWO + "group g 0 a b\nquorum g\n", "line 3 .* '0' is neither"),
    "threshold above the members": (TWO + "group g 3 a b\nquorum g\n", "line 3 .* from 1 to 2"),
    "threshold of many digits": (TWO + f"group g {'1' * 5000} a b\nquorum g\n", "line 3 .* neither"),
    "threshold with a sign": (TWO + "group g +1 a b\nquorum g\n", r"line 3 .* '\+1' is neither"),
    "threshold with a leading zero": (TWO + "group g 01 a b\nquorum g\n", "line 3 .* '01' is neither"),
    "threshold in hex": (TWO + "group g 0x1 a b\nquorum g\n", "line 3 .* neither"),
    "threshold in other digits": (TWO + "group g \u0661 a b\nquorum g\n", "line 3 .* neither"),
    "threshold in capitals": (TWO + "group g ANY a b\nquorum g\n", "line 3 .* 'ANY' is neither"),
}  # fmt: skip


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_policy_is_refused_with_its_line(fault: str) -> None:
    text, said = MALFORMED[fault]
    with pytest.raises(PolicyError, match=said):
        parse_policy(text.encode())


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"line 1 .* not UTF-8"):
        parse_policy(b"witness a \xff" + A.encode() + b"\nquorum a\n")


def test_two_keys_that_one_signature_line_would_name_are_refused() -> None:
    """Key hashes have 32 bits: whoever wants another's can find a key that has it."""
    pair = [sha256(b"collision %d" % number).digest() for number in (2510, 14408)]
    texts = [verifier_key("w.example", COSIGNER_KEY, public) for public in pair]
    lines = "".join(f"witness {n} {text}\n" for n, text in enumerate(texts))
    with pytest.raises(PolicyError, match=r"line 2 .* another key signs as 'w.example'"):
        parse_policy((lines + "quorum 0\n").encode())


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("log {log}\n", "logs"),
        ("witness {n} {cosigner}\n", "witnesses"),
        ("witness {n} {cosigner}\ngroup g{n} any {n}\n", "witnesses"),
    ],
)
def test_numbers_are_limited(line: str, what: str) -> None:
    lines = [line.format(n=n, log=vkey(str(n), LOG_KEY), cosigner=vkey(str(n))) for n in range(257)]
    parse_policy(("".join(lines[:256]) + "quorum none\n").encode())
    with pytest.raises(PolicyError, match=f"more than 256 {what}"):
        parse_policy(("".join(lines) + "quorum none\n").encode())


def test_groups_are_limited_and_may_all_nest() -> None:
    lines = [f"group g{n} any g{n - 1}\n" for n in range(1, 257)]
    raw = f"witness g0 {A}\n" + "".join(lines[:256])
    policy = parse_policy((raw + "quorum g256\n").encode())
    assert policy.satisfied({"g0"})
    assert not policy.splits()
    with pytest.raises(PolicyError, match=r"line 258 .* more than 256 groups"):
        parse_policy((raw + "group g257 any g256\n" + "quorum none\n").encode())


def test_the_length_is_limited() -> None:
    raw = b"quorum none\n"
    parse_policy(raw.rjust(MAX_POLICY_BYTES, b"\n"))
    with pytest.raises(PolicyError, match="longer than 1048576 bytes"):
        parse_policy(raw.rjust(MAX_POLICY_BYTES + 1, b"\n"))


def test_the_largest_policy_of_mldsa_keys_is_read() -> None:
    lines = [f"witness {n} {vkey(str(n), MLDSA_COSIGNER_KEY)}\n" for n in range(256)]
    policy = parse_policy(("".join(lines) + "quorum 255\n").encode())
    assert len(policy.witnesses) == 256


def test_keys_alone_are_a_policy_of_any_cosigner() -> None:
    log, ed25519, mldsa = key("log", LOG_KEY), key("A"), key("A", MLDSA_COSIGNER_KEY)
    policy = Policy.of_keys([ed25519, log, mldsa, ed25519])
    assert [each.key for each in policy.logs] == [log]
    assert [each.key for each in policy.witnesses] == [ed25519, mldsa]
    assert parse_policy(policy.text()) == policy
    for witness in policy.witnesses:
        assert policy.satisfied({witness.name})
    assert not policy.satisfied(set())


def test_a_log_key_alone_asks_for_no_cosignature() -> None:
    policy = Policy.of_keys([key("log", LOG_KEY)])
    assert policy.satisfied(set())
    assert parse_policy(policy.text()) == policy
    assert policy.text() == f"log {LOG}\nquorum none\n".encode()


def test_no_quorum_is_satisfied_by_nobody_and_splits() -> None:
    policy = parse_policy(f"witness a {A}\nquorum none\n".encode())
    assert policy.satisfied(set())
    assert policy.splits()
    assert policy.counted() == ()


def test_those_who_count_are_under_the_quorum() -> None:
    policy = parse_policy(
        (PAIR + f"witness c {C}\nwitness d {PQ}\ngroup h all c g\nquorum h\n").encode()
    )
    assert [witness.name for witness in policy.counted()] == ["a", "b", "c"]
    assert [w.name for w in replace(policy, quorum="d").counted()] == ["d"]


BOTH = [vkey("1", name="w.example"), vkey("2", MLDSA_COSIGNER_KEY, name="w.example")]


def test_the_two_keys_of_a_witness_are_one_party() -> None:
    lines = f"witness ed {BOTH[0]}\nwitness pq {BOTH[1]}\n"
    assert not parse_policy(f"{lines}group w any ed pq\nquorum w\n".encode()).splits()
    other = vkey("2", MLDSA_COSIGNER_KEY, name="v.example")
    lines = f"witness ed {BOTH[0]}\nwitness pq {other}\n"
    assert parse_policy(f"{lines}group w any ed pq\nquorum w\n".encode()).splits()


def test_two_of_three_parties_with_two_keys_each_overlap() -> None:
    lines = []
    for name in "abc":
        for kind, key_type in (("ed", COSIGNER_KEY), ("pq", MLDSA_COSIGNER_KEY)):
            lines.append(f"witness {name}-{kind} {vkey(name + kind, key_type, name)}\n")
        lines.append(f"group {name} any {name}-ed {name}-pq\n")
    text = "".join(lines)
    assert not parse_policy(f"{text}group q 2 a b c\nquorum q\n".encode()).splits()
    assert parse_policy(f"{text}group q 1 a b c\nquorum q\n".encode()).splits()


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Small forests: up to seven witnesses under up to five groups."""
    witnesses = tuple(
        Witness(f"w{n}", key(f"w{n}"), draw(st.sampled_from([None, "https://w.example/"])))
        for n in range(draw(st.integers(0, 7)))
    )
    logs = tuple(
        Log(key(f"l{n}", LOG_KEY), draw(st.sampled_from([None, "log.example/tiles"])))
        for n in range(draw(st.integers(0, 2)))
    )
    free, groups = [witness.name for witness in witnesses], []
    for n in range(draw(st.integers(0, 5))):
        if free:
            members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
            free = [name for name in free if name not in members] + [f"g{n}"]
            groups.append(Group(f"g{n}", draw(st.integers(1, len(members))), tuple(members)))
    names = [witness.name for witness in witnesses] + [group.name for group in groups]
    return Policy(logs, witnesses, tuple(groups), draw(st.sampled_from([None, *names])))


def subsets(names: list[str]) -> Iterator[set[str]]:
    sizes = range(len(names) + 1)
    return map(set, chain.from_iterable(combinations(names, size) for size in sizes))


@given(policies())
def test_splits_is_what_all_pairs_of_quorums_say(policy: Policy) -> None:
    names = [witness.name for witness in policy.witnesses]
    quorums = [subset for subset in subsets(names) if policy.satisfied(subset)]
    assert policy.splits() == any(
        first.isdisjoint(second) for first in quorums for second in quorums
    )


@given(policies())
def test_only_those_who_count_change_the_answer(policy: Policy) -> None:
    counted = {witness.name for witness in policy.counted()}
    for subset in subsets([witness.name for witness in policy.witnesses]):
        assert policy.satisfied(subset) == policy.satisfied(subset & counted)
    for name in counted:
        assert any(
            policy.satisfied(subset | {name}) and not policy.satisfied(subset - {name})
            for subset in subsets(sorted(counted))
        )


@given(policies())
def test_what_is_written_is_read(policy: Policy) -> None:
    assert parse_policy(policy.text()) == policy


@given(st.binary(max_size=300))
def test_any_octets_are_refused_or_read(raw: bytes) -> None:
    try:
        policy = parse_policy(raw + b"\n")
    except PolicyError:
        return
    assert parse_policy(policy.text()) == policy


@given(st.integers(0, len(EXAMPLE) - 1), st.sampled_from(b"\x00\t\n\r #12aX\xff"), st.booleans())
def test_an_altered_policy_is_refused_or_read(at: int, octet: int, insert: bool) -> None:
    raw = EXAMPLE[:at] + bytes([octet]) + EXAMPLE[at + (not insert) :]
    try:
        policy = parse_policy(raw)
    except PolicyError:
        return
    assert parse_policy(policy.text()) == policy
