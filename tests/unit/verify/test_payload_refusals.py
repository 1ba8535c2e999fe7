"""Payloads that are refused: malformed text, every forgery under its name, then any damage."""

import copy
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support import signer
from tests.support.payloads import ESTABLISHED, RAW, VALID, Payload, dump, verify_quickly
from tests.support.signer import COSIGNER, KEYS, LOG, ORIGIN, WITNESS, Signer

from proof.verify import RefusedError, errors, verify_payload
from proof.verify.evidence.log import note
from proof.verify.strict_json import MAX_BYTES, MAX_NESTING, parse_json

Change = Callable[[Payload], object]


def evidence(**members: object) -> Change:
    return lambda payload: payload["evidence"].update(members)


def tree(**members: object) -> Change:
    return lambda payload: payload["tree"].update(members)


def resigned(size: int, signers: tuple[Signer, ...], root: bytes = bytes(32)) -> str:
    return signer.checkpoint(size, root, signers)


def lone(payload: Payload, root: str) -> Payload:
    """A root that is its own leaf, in the place of the payload's."""
    payload.update(sha256=root, branch={"sha256": root, "depth": 0})
    payload["tree"]["rootSha256"] = root
    return payload


assert ESTABLISHED.inclusion is not None
LOG_ROOT = ESTABLISHED.inclusion.root
ENTRY_HASH = sha256(
    b"\x00" + bytes.fromhex(VALID["tree"]["rootSha256"] + VALID["evidence"]["plainRoot"])
).hexdigest()
IMPOSTOR = Signer.named(ORIGIN, note.LOG_KEY, seed="impostor")
OTHER_ORIGIN = VALID["evidence"]["checkpoint"].replace(ORIGIN, "log.example/tesT", 1)

FORGERIES: dict[str, tuple[type[RefusedError], Change]] = {
    "another leaf": (errors.LeafMismatchError, lambda p: p.update(sha256="0" * 64)),
    "upper case leaf": (errors.HexError, lambda p: p.update(sha256=p["sha256"].upper())),
    "no leaf": (errors.HexError, lambda p: p.pop("sha256")),
    "another root": (errors.RootMismatchError, tree(rootSha256="0" * 64)),
    "no root": (errors.HexError, lambda p: p["tree"].pop("rootSha256")),
    "no tree": (errors.MemberError, lambda p: p.pop("tree")),
    "tree as list": (errors.MemberError, lambda p: p.update(tree=[])),
    "no branch": (errors.NodeShapeError, lambda p: p.pop("branch")),
    "branch of another tree": (
        errors.LeafMismatchError,
        lambda p: p.update(branch=signer.payload(leaf_index=3)["branch"]),
    ),
    "unverified tree": (errors.SubmitStatusError, tree(submitStatus=2)),
    "status beyond": (errors.MemberError, tree(submitStatus=4)),
    "status as true": (errors.MemberError, tree(submitStatus=True)),
    "status as text": (errors.MemberError, tree(submitStatus="3")),
    "no treeId": (errors.MemberError, lambda p: p["tree"].pop("treeId")),
    "empty transaction": (errors.MemberError, tree(transaction="")),
    "endless transaction": (errors.MemberError, tree(transaction="1" * 1025)),
    "negative time": (errors.MemberError, tree(timestamp=-1)),
    "time beyond the year 9999": (errors.MemberError, tree(timestamp=253_402_300_800_000)),
    "log proof sold as Bitcoin's": (
        errors.CurrencyMismatchError,
        tree(currencyId=0, currency="BTC"),
    ),
    "log proof labelled BTC": (errors.CurrencyMismatchError, tree(currency="BTC")),
    "another transaction": (errors.TransactionMismatchError, tree(transaction="7")),
    "transaction with a zero": (errors.TransactionMismatchError, tree(transaction="06")),
    "evidence as null": (errors.MemberError, lambda p: p.update(evidence=None)),
    "evidence without type": (errors.MemberError, lambda p: p["evidence"].pop("type")),
    "evidence of another log": (errors.OriginMismatchError, evidence(origin="other.example")),
    "evidence without origin": (errors.MemberError, lambda p: p["evidence"].pop("origin")),
    "another index": (errors.LogRootMismatchError, evidence(index=7)),
    "index beyond the log": (errors.LogIndexError, evidence(index=11)),
    "negative index": (errors.MemberError, evidence(index=-1)),
    "index as text": (errors.MemberError, evidence(index="6")),
    "another plain root": (errors.LogRootMismatchError, evidence(plainRoot="0" * 64)),
    "no plain root": (errors.HexError, lambda p: p["evidence"].pop("plainRoot")),
    "plain root of half a length": (errors.HexError, evidence(plainRoot="0" * 32)),
    "plain root in upper case": (errors.HexError, evidence(plainRoot="AB" * 32)),
    "plain root of 31 bytes": (errors.HexError, evidence(plainRoot="0" * 62)),
    "plain root of 33 bytes": (errors.HexError, evidence(plainRoot="0" * 66)),
    "plain root with 0x before it": (errors.HexError, evidence(plainRoot="0x" + "0" * 62)),
    "plain root of nothing": (errors.HexError, evidence(plainRoot="")),
    "plain root as null": (errors.HexError, evidence(plainRoot=None)),
    "plain root in a list": (errors.HexError, evidence(plainRoot=["0" * 64])),
    "plain root beside the evidence": (
        errors.HexError,
        lambda p: p.update(plainRoot=p["evidence"].pop("plainRoot")),
    ),
    "the root for its plain root": (
        errors.LogRootMismatchError,
        evidence(plainRoot=VALID["tree"]["rootSha256"]),
    ),
    "the plain root sold as the root": (
        errors.LogRootMismatchError,
        lambda p: (
            p["evidence"].update(plainRoot=p["tree"]["rootSha256"]),
            lone(p, VALID["evidence"]["plainRoot"]),
        ),
    ),
    "two nodes of the log sold as an entry": (
        errors.PathTooShortError,
        lambda p: (
            p["evidence"].update(
                plainRoot=p["evidence"]["inclusion"][0], inclusion=p["evidence"]["inclusion"][1:]
            ),
            lone(p, ENTRY_HASH),
        ),
    ),
    "two nodes of the log sold as an entry at its level": (
        errors.LogRootMismatchError,
        lambda p: (
            p["evidence"].update(
                index=3,
                plainRoot=p["evidence"]["inclusion"][0],
                inclusion=p["evidence"]["inclusion"][1:],
                checkpoint=resigned(6, (LOG, WITNESS), LOG_ROOT),
            ),
            p["tree"].update(transaction="3"),
            lone(p, ENTRY_HASH),
        ),
    ),
    "path cut": (errors.PathTooShortError, lambda p: p["evidence"]["inclusion"].pop()),
    "path lengthened": (
        errors.PathTooLongError,
        lambda p: p["evidence"]["inclusion"].append("0" * 64),
    ),
    "path reversed": (
        errors.LogRootMismatchError,
        lambda p: p["evidence"]["inclusion"].reverse(),
    ),
    "path in upper case": (
        errors.HexError,
        lambda p: p["evidence"].update(inclusion=[h.upper() for h in p["evidence"]["inclusion"]]),
    ),
    "path of numbers": (errors.MemberError, evidence(inclusion=[1, 2, 3, 4])),
    "path of lists": (errors.MemberError, evidence(inclusion=[[], [], [], []])),
    "path of hashes of 31 and 33 bytes": (
        errors.HexError,
        evidence(inclusion=["0" * 62, "0" * 66, "0" * 64, "0" * 64]),
    ),
    "path of 64": (errors.MemberError, evidence(inclusion=["0" * 64] * 64)),
    "no path": (errors.MemberError, evidence(inclusion=None)),
    "no checkpoint": (errors.MemberError, lambda p: p["evidence"].pop("checkpoint")),
    "checkpoint with half a pair": (errors.MemberError, evidence(checkpoint="\ud800")),
    "checkpoint that is no note": (errors.NoteFormatError, evidence(checkpoint="x")),
    "checkpoint of another root": (
        errors.LogRootMismatchError,
        evidence(checkpoint=resigned(11, (LOG, WITNESS))),
    ),
    "checkpoint of another size": (
        errors.PathTooShortError,
        evidence(checkpoint=resigned(1000, (LOG, WITNESS))),
    ),
    "checkpoint signed by an impostor": (
        errors.NotSignedByLogKeyError,
        evidence(checkpoint=resigned(11, (IMPOSTOR, WITNESS))),
    ),
    "checkpoint moved to another origin": (
        errors.SignatureError,
        evidence(checkpoint=OTHER_ORIGIN, origin="log.example/tesT"),
    ),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_payload_is_refused(attack: str) -> None:
    expected, change = FORGERIES[attack]
    payload = copy.deepcopy(VALID)
    change(payload)
    with pytest.raises(expected):
        verify_payload(json.dumps(payload).encode(), log_keys=KEYS)


def test_what_is_kept_of_a_checkpoint_answers_nothing_about_keys() -> None:
    """The same bytes, before and after, under other keys and another judge of signatures."""
    for _ in range(2):
        assert verify_payload(RAW, log_keys=KEYS).tied
        assert verify_payload(RAW).signed_by is None
        with pytest.raises(errors.SignatureError):
            verify_payload(RAW, log_keys=KEYS, ed25519_verify=lambda *_: False)
        with pytest.raises(errors.NotSignedByLogKeyError):
            verify_payload(RAW, log_keys=[IMPOSTOR.key, WITNESS.key])


def test_path_of_a_genuine_proof_carries_no_other_root() -> None:
    assert verify_payload(RAW, log_keys=KEYS).tied
    other = signer.payload(leaf_index=1)
    other["sha256"], other["branch"] = "ab" * 32, {"sha256": "ab" * 32, "depth": 0}
    other["tree"]["rootSha256"] = "ab" * 32
    with pytest.raises(errors.LogRootMismatchError):
        verify_payload(dump(other), log_keys=KEYS)


def test_an_entry_of_the_root_alone_is_none() -> None:
    """A log of the old form, whose entries are one root of 32 bytes."""
    root = bytes.fromhex(VALID["tree"]["rootSha256"])
    payload = copy.deepcopy(VALID)
    payload["tree"]["transaction"] = "0"
    payload["evidence"] |= {
        "index": 0,
        "inclusion": [],
        "checkpoint": resigned(1, (LOG, WITNESS), sha256(b"\x00" + root).digest()),
    }
    with pytest.raises(errors.LogRootMismatchError):
        verify_payload(dump(payload), log_keys=KEYS)
    del payload["evidence"]["plainRoot"]
    with pytest.raises(errors.HexError, match=r"evidence\.plainRoot"):
        verify_payload(dump(payload), log_keys=KEYS)


ROOTS = (
    bytes.fromhex(VALID["tree"]["rootSha256"]),
    bytes.fromhex(VALID["evidence"]["plainRoot"]),
)
OTHER_ENTRIES: dict[str, bytes] = {
    "the halves the other way round": ROOTS[1] + ROOTS[0],
    "in hexadecimal": b"".join(ROOTS).hex().encode(),
    "the plain root alone": ROOTS[1],
    "with its length before it": b"\x00\x40" + b"".join(ROOTS),
    "a byte more": b"".join(ROOTS) + b"\x00",
    "both hashed as nodes are": sha256(b"\x01" + b"".join(ROOTS)).digest(),
}


@pytest.mark.parametrize("name", [None, *OTHER_ENTRIES])
def test_an_entry_is_the_root_and_then_the_plain_root(name: str | None) -> None:
    entry = b"".join(ROOTS) if name is None else OTHER_ENTRIES[name]
    payload = copy.deepcopy(VALID)
    payload["tree"]["transaction"] = "0"
    payload["evidence"] |= {
        "index": 0,
        "inclusion": [],
        "checkpoint": resigned(1, (LOG, WITNESS), sha256(b"\x00" + entry).digest()),
    }
    if name is None:
        assert verify_quickly(dump(payload)).tied
        return
    with pytest.raises(errors.LogRootMismatchError):
        verify_quickly(dump(payload))


def test_two_logs_cannot_lend_each_other_a_checkpoint() -> None:
    """A trusted key of another log signs a checkpoint that names the first log."""
    other = Signer.named("other.example", note.LOG_KEY)
    payload = signer.payload(signers=(other, WITNESS))
    with pytest.raises(errors.NotSignedByLogKeyError):
        verify_payload(dump(payload), log_keys=[*KEYS, other.key])


TEXTS: dict[str, tuple[type[RefusedError], bytes]] = {
    "empty": (errors.JsonError, b""),
    "blank": (errors.JsonError, b"  \n"),
    "cut": (errors.JsonError, RAW[:-1]),
    "two documents": (errors.JsonError, RAW + RAW),
    "comment": (errors.JsonError, RAW + b"// x"),
    "byte order mark": (errors.JsonError, b"\xef\xbb\xbf" + RAW),
    "UTF-16": (errors.EncodingError, RAW.decode().encode("utf-16")),
    "broken UTF-8": (errors.EncodingError, RAW.replace("—".encode(), b"\xe2\x80")),
    "control character in text": (errors.JsonError, b'{"a": "\n"}'),
    "list": (errors.MemberError, b"[]"),
    "number": (errors.MemberError, b"3"),
    "null": (errors.MemberError, b"null"),
    "leaf named twice": (errors.DuplicateMemberError, b'{"sha256": "00", ' + RAW[1:]),
    "plain root named twice": (
        errors.DuplicateMemberError,
        RAW.replace(b'"plainRoot":', b'"plainRoot": "' + b"0" * 64 + b'", "plainRoot":', 1),
    ),
    "depth named twice": (
        errors.DuplicateMemberError,
        RAW.replace(b'"depth": 1', b'"depth": 1, "depth": 1'),
    ),
    "twice under another spelling": (
        errors.DuplicateMemberError,
        b'{"sh\\u0061256": "00", ' + RAW[1:],
    ),
    "fraction": (errors.NumberError, RAW.replace(b'"depth": 1', b'"depth": 1.0')),
    "exponent": (errors.NumberError, RAW.replace(b'"depth": 1', b'"depth": 1e0')),
    "not a number": (errors.NumberError, RAW.replace(b'"depth": 1', b'"depth": NaN')),
    "infinity": (errors.NumberError, b'{"a": -Infinity}'),
    "5,000 digits": (errors.NumberError, b'{"a": ' + b"1" * 5000 + b"}"),
    "over 1 MiB": (errors.PayloadTooLargeError, RAW + b" " * MAX_BYTES),
    "nested objects": (errors.NestingError, b'{"a":' * 100_000),
    "nested lists": (errors.NestingError, b"[" * 500_000 + b"]" * 500_000),
    "nested past a string of brackets": (
        errors.NestingError,
        b'{"a\\"]]]": "}}}", "b": ' + b"[" * (MAX_NESTING + 1),
    ),
    "nested past strings that end in backslashes": (
        errors.NestingError,
        b'{"a": "\\\\", "b": "]\\\\\\"]", "c": ' + b"[" * (MAX_NESTING + 1),
    ),
}


@pytest.mark.parametrize("fault", TEXTS)
def test_malformed_text_is_refused(fault: str) -> None:
    expected, raw = TEXTS[fault]
    with pytest.raises(expected):
        verify_payload(raw, log_keys=KEYS)


def test_brackets_in_strings_and_many_flat_objects_are_not_nesting() -> None:
    flat = json.dumps({"a": [{}] * 5000, "b": "[" * 5000, "c": '\\"{' * 5000}).encode()
    assert isinstance(parse_json(flat), dict)
    deepest = b"[" * MAX_NESTING + b"]" * MAX_NESTING
    assert isinstance(parse_json(deepest), list)


def test_time_of_parsing_does_not_explode() -> None:
    """Texts that are quadratic for a careless scanner; the suite's own limit is the clock."""
    for raw in (b'"\\"' * 300_000, b'{"a":"' + b'\\"[' * 300_000, b'{"\\' * 300_000):
        with pytest.raises(RefusedError):
            parse_json(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_strict_json_reads_what_json_reads(value: object) -> None:
    try:
        raw = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raw = json.dumps(value).encode()
    assert parse_json(raw) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        verify_payload(raw)


def no_more_than_established(raw: bytes) -> None:
    """Refused, or the same facts, or fewer; `claimed` is the sender's word and may change."""
    try:
        facts = verify_quickly(raw)
    except RefusedError:
        return
    if facts.tied:
        assert replace(facts, claimed=ESTABLISHED.claimed) == ESTABLISHED
    else:
        assert facts.timestamp_ms is None
        assert facts.remaining
        assert (facts.leaf, facts.root) == (ESTABLISHED.leaf, ESTABLISHED.root)


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
@example(RAW.index(b"evidence"), ord("E"))
@example(RAW.index(COSIGNER.encode()), ord("C"))
@example(RAW.index(b"log", RAW.index(b'"type"')), ord("L"))
def test_any_byte_altered(index: int, value: int) -> None:
    no_more_than_established(RAW[:index] + bytes([value]) + RAW[index + 1 :])


@given(st.integers(0, len(RAW) - 1))
def test_any_truncation_is_refused(length: int) -> None:
    with pytest.raises(RefusedError):
        verify_quickly(RAW[:length])


@given(st.integers(0, len(RAW)), st.binary(min_size=1, max_size=4))
def test_any_insertion(index: int, inserted: bytes) -> None:
    no_more_than_established(RAW[:index] + inserted + RAW[index:])


@given(st.integers(0, len(RAW)), st.integers(1, 300))
def test_any_deletion(index: int, length: int) -> None:
    no_more_than_established(RAW[:index] + RAW[index + length :])


def test_every_bit_of_the_payload() -> None:
    for index, byte in enumerate(RAW):
        no_more_than_established(RAW[:index] + bytes([byte ^ 1]) + RAW[index + 1 :])


def test_escapes_cost_no_more_memory_than_text() -> None:
    """Sixty times as much is a gigabyte for the largest receipt."""
    raw = b"[" + b"[]," * (MAX_NESTING + 1) + b'"' + b"\\n" * 300_000 + b'"]'
    tracemalloc.start()
    try:
        parse_json(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(raw)
