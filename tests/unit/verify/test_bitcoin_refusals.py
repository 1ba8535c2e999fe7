"""Bitcoin evidence that is refused: every forgery under its name, then any damage."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import anchored
from tests.support.anchored import Payload, double_sha256, mine, rebuilt, transaction

from proof.verify import ChainTrust, Established, RefusedError, errors, load_headers, verify_payload
from proof.verify.evidence.bitcoin.evidence import MAX_PATH, merkle_root
from proof.verify.evidence.bitcoin.header import parse_header
from proof.verify.evidence.bitcoin.networks import NETWORKS
from proof.verify.evidence.bitcoin.transaction import is_transaction_of_64_bytes, read_anchor

ANCHORED = anchored.bitcoin()
VALID = ANCHORED.payload
RAW = json.dumps(VALID).encode()
TRUST = ChainTrust(headers=load_headers(ANCHORED.file), networks={"regtest"})
ROOT = bytes.fromhex(VALID["tree"]["rootSha256"])
PLAIN = read_anchor(bytes.fromhex(VALID["evidence"]["transaction"]), ROOT).plain_root or b""
INNER = VALID["branch"]["left"]
HEADER = bytes.fromhex(VALID["evidence"]["header"])


def tied(payload: Payload) -> Established:
    return verify_payload(json.dumps(payload).encode(), chains=TRUST)


def evidence(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["evidence"].update(members)


def tree(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["tree"].update(members)


def _sibling_swapped(payload: Payload) -> None:
    path = payload["evidence"]["path"]
    path[0], path[1] = path[1], path[0]


def _self_pair_expanding_right(payload: Payload) -> None:
    """The last of three transactions, said to be the fourth, which is only its copy."""
    raw = transaction(ROOT)
    rebuilt(payload, raw, [double_sha256(raw), sha256(b"left").digest()], 3)


def _copy_with_a_right_sibling(payload: Payload) -> None:
    """A last node whose copy fills the level cannot have another node to the right above it."""
    raw = transaction(ROOT)
    rebuilt(payload, raw, [double_sha256(raw), sha256(b"right").digest()], 0)


def _sixty_four_byte_transaction(payload: Payload) -> None:
    raw = transaction(ROOT)
    assert len(raw) > 64
    short = struct.pack("<i", 2) + b"\x01" + bytes(36) + b"\x00" + bytes(4)
    short += b"\x01" + bytes(8) + b"\x04\x6a\x02\x00\x00" + bytes(4)
    assert len(short) == 64
    rebuilt(payload, short)


def _root_in_a_script_that_spends(payload: Payload) -> None:
    """Whoever relays a transaction could have put it there."""
    carried = b"\x22\x6a\x20" + ROOT
    raw = struct.pack("<i", 2) + b"\x01" + bytes(36) + carried + bytes(4)
    rebuilt(payload, raw + b"\x01" + bytes(8) + b"\x01\x51" + bytes(4))


def _root_in_a_witness(payload: Payload) -> None:
    body = b"\x01" + bytes(36) + b"\x00" + bytes(4) + b"\x01" + bytes(8) + b"\x01\x51"
    witness = b"\x01\x22\x6a\x20" + ROOT
    rebuilt(payload, struct.pack("<i", 2) + body + bytes(4))
    raw = struct.pack("<i", 2) + b"\x00\x01" + body + witness + bytes(4)
    payload["evidence"]["transaction"] = raw.hex()


def carried_by(script: bytes) -> Callable[[Payload], object]:
    """A transaction whose second output has that script, in a block of its own."""
    raw = transaction(ROOT).replace(b"\x22\x6a\x20" + ROOT, bytes([len(script)]) + script, 1)
    return lambda payload: rebuilt(payload, raw)


def _low_difficulty(payload: Payload) -> None:
    """A regtest block offered as one of the main network."""
    payload["evidence"]["network"] = "main"


FORGERIES: dict[str, tuple[type[RefusedError], Callable[[Payload], object]]] = {
    "self-pair expanding right": (
        errors.DuplicatedNodeError,
        _self_pair_expanding_right,
    ),
    "copy with a right sibling": (errors.DuplicatedNodeError, _copy_with_a_right_sibling),
    "64-byte transaction": (errors.InnerNodeError, _sixty_four_byte_transaction),
    "root in a script that spends": (errors.RootOutputError, _root_in_a_script_that_spends),
    "root in a witness": (errors.RootOutputError, _root_in_a_witness),
    "swapped sibling": (errors.MerkleRootMismatchError, _sibling_swapped),
    "header of low difficulty": (errors.LowDifficultyError, _low_difficulty),
    "other network": (errors.OtherNetworkError, evidence(network="signet")),
    "unknown network": (errors.OtherNetworkError, evidence(network="dogecoin")),
    "depth bomb": (errors.MerklePathTooLongError, evidence(path=["00" * 32] * 100_00)),
    "one level too many": (
        errors.MerklePathTooLongError,
        evidence(path=["00" * 32] * (MAX_PATH + 1)),
    ),
    "other height": (errors.OtherHeaderError, evidence(height=6)),
    "header without work": (
        errors.ProofOfWorkError,
        lambda p: p["evidence"].update(
            header=mine(HEADER[4:36], HEADER[36:68], 1296692802, good=False).hex()
        ),
    ),
    "header of another merkle root": (
        errors.MerkleRootMismatchError,
        evidence(header=ANCHORED.headers[6].hex()),
    ),
    "header on a fork": (
        errors.OtherHeaderError,
        lambda p: (p["evidence"].update(header=mine(bytes(32), HEADER[36:68], 1296692802).hex()),),
    ),
    "header cut": (errors.HexError, evidence(header=HEADER[:79].hex())),
    "header in upper case": (errors.HexError, evidence(header=HEADER.hex().upper())),
    "header with spaces": (errors.HexError, evidence(header=HEADER.hex()[:158] + "  ")),
    "no header": (errors.MemberError, evidence(header=None)),
    "index beyond the path": (errors.PositionError, evidence(index=8)),
    "other index": (errors.MerkleRootMismatchError, evidence(index=2)),
    "negative index": (errors.MemberError, evidence(index=-1)),
    "path of numbers": (errors.MemberError, evidence(path=[1, 2, 3])),
    "no path": (errors.MemberError, evidence(path=None)),
    "negative height": (errors.MemberError, evidence(height=-1)),
    "no network": (errors.MemberError, evidence(network=None)),
    "another root": (
        errors.RootOutputError,
        evidence(transaction=transaction(bytes(32)).hex()),
    ),
    "two roots": (
        errors.RootOutputError,
        evidence(transaction=transaction(ROOT, outputs=[b"\x6a\x20" + bytes(32)]).hex()),
    ),
    "the plain root sold as the root": (
        errors.RootOutputError,
        lambda p: (
            p.update(sha256=PLAIN.hex(), branch={"sha256": PLAIN.hex(), "depth": 0}),
            p["tree"].update(rootSha256=PLAIN.hex()),
        ),
    ),
    "the halves the other way round": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(PLAIN + ROOT)),
    ),
    "the root behind another": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(bytes(32) + ROOT)),
    ),
    "another root before the plain root": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(bytes(32) + PLAIN)),
    ),
    "half a plain root": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT + PLAIN[:16])),
    ),
    "a byte behind the plain root": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT + PLAIN + b"x")),
    ),
    "two roots in a push of another kind": (
        errors.RootOutputError,
        lambda p: rebuilt(
            p, transaction(ROOT + PLAIN).replace(b"\x42\x6a\x40", b"\x43\x6a\x4c\x40", 1)
        ),
    ),
    "the length of one root before two": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT + PLAIN).replace(b"\x6a\x40", b"\x6a\x20", 1)),
    ),
    **{
        name: (errors.RootOutputError, carried_by(script))
        for name, script in {
            "a byte before the root": b"\x6a\x41\x00" + ROOT + PLAIN,
            "both roots inside a longer push": b"\x6a\x4b" + b"x" * 5 + ROOT + PLAIN + b"x" * 6,
            "both roots at the end of a longer push": b"\x6a\x4b" + b"x" * 11 + ROOT + PLAIN,
            "a byte behind the push of one root": b"\x6a\x20" + ROOT + b"\x51",
            "a byte behind the push of two roots": b"\x6a\x40" + ROOT + PLAIN + b"\x51",
            "two pushes": b"\x6a\x20" + ROOT + b"\x20" + PLAIN,
            "one root in PUSHDATA1": b"\x6a\x4c\x20" + ROOT,
            "two roots in PUSHDATA2": b"\x6a\x4d\x40\x00" + ROOT + PLAIN,
            "two roots in PUSHDATA4": b"\x6a\x4e\x40\x00\x00\x00" + ROOT + PLAIN,
            "two roots without a push": b"\x6a" + ROOT + PLAIN,
            "the length of two roots before one": b"\x6a\x40" + ROOT,
            "an OP_RETURN of nothing": b"\x6a",
            "something before the OP_RETURN": b"\x00\x6a\x40" + ROOT + PLAIN,
            "the root as a witness program": b"\x00\x20" + ROOT,
            "both roots as keys that may spend": (
                b"\x51\x21\x02" + ROOT + b"\x21\x02" + PLAIN + b"\x52\xae"
            ),
            "both roots pushed and dropped": b"\x40" + ROOT + PLAIN + b"\x75\x51",
        }.items()
    },
    "both roots twice": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT + PLAIN, outputs=[b"\x6a\x40" + ROOT + PLAIN])),
    ),
    "an OP_RETURN of nothing beside the roots": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT + PLAIN, outputs=[b"\x6a"])),
    ),
    "an inner node of the contract's tree with the leaf's plain path": (
        errors.PlainPathError,
        lambda p: (
            p.update(sha256=INNER["sha256"]),
            p["branch"].update(left={"sha256": INNER["sha256"], "depth": 1}),
        ),
    ),
    "another plain root": (
        errors.PlainPathError,
        lambda p: rebuilt(p, transaction(ROOT + bytes(32))),
    ),
    "a plain path and no plain root": (
        errors.PlainPathError,
        lambda p: rebuilt(p, transaction(ROOT)),
    ),
    "the root in the plain root's place too": (
        errors.PlainPathError,
        lambda p: rebuilt(p, transaction(ROOT + ROOT)),
    ),
    "the plain path of another leaf": (
        errors.PlainPathError,
        evidence(plainPath=anchored.bitcoin(leaf_index=1).payload["evidence"]["plainPath"]),
    ),
    "a plain path cut": (
        errors.PlainPathError,
        lambda p: p["evidence"]["plainPath"][0].pop(),
    ),
    "a plain path that is none": (errors.PlainPathError, evidence(plainPath=None)),
    "root pushed with more": (
        errors.RootOutputError,
        lambda p: rebuilt(p, transaction(ROOT).replace(b"\x22\x6a\x20", b"\x22\x6a\x1f", 1)),
    ),
    "transaction cut": (
        errors.TransactionFormatError,
        evidence(transaction=transaction(ROOT)[:-1].hex()),
    ),
    "transaction lengthened": (
        errors.TransactionFormatError,
        evidence(transaction=transaction(ROOT).hex() + "00"),
    ),
    "transaction too long": (
        errors.HexError,
        evidence(transaction="00" * 100_001),
    ),
    "input count of 2^64": (
        errors.TransactionTooLargeError,
        evidence(transaction=("02000000ff" + "ff" * 8 + "00" * 60)),
    ),
    "output count of 2^32": (
        errors.TransactionTooLargeError,
        evidence(transaction="0200000001" + "00" * 36 + "00" * 5 + "feffffffff" + "00" * 20),
    ),
    "script length of 2^64": (
        errors.TransactionFormatError,
        evidence(transaction="0200000001" + "00" * 36 + "ff" + "ff" * 8 + "00" * 20),
    ),
    "long form of a short number": (
        errors.TransactionFormatError,
        evidence(transaction="02000000fd0100" + "00" * 60),
    ),
    "marked as witnessed without witness": (
        errors.TransactionFormatError,
        lambda p: p["evidence"].update(
            transaction=(
                transaction(ROOT)[:4] + b"\x00\x01" + transaction(ROOT)[4:-4] + b"\x00" + bytes(4)
            ).hex()
        ),
    ),
    "witness of 2^64 items": (
        errors.TransactionFormatError,
        lambda p: p["evidence"].update(
            transaction=(
                transaction(ROOT)[:4] + b"\x00\x01" + transaction(ROOT)[4:-4] + b"\xff" * 9
            ).hex()
        ),
    ),
    "other currency": (errors.CurrencyMismatchError, tree(currencyId=1)),
    "other currency name": (errors.CurrencyMismatchError, tree(currency="ETH")),
    "other transaction": (errors.TransactionMismatchError, tree(transaction="00" * 32)),
    "transaction id not reversed": (
        errors.TransactionMismatchError,
        tree(transaction=double_sha256(transaction(ROOT)).hex()),
    ),
    "other time": (errors.TimestampMismatchError, tree(timestamp=1296692803000)),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_evidence_is_refused(attack: str) -> None:
    expected, change = FORGERIES[attack]
    payload = ANCHORED.changed()
    change(payload)
    with pytest.raises(expected):
        tied(payload)


def test_64_byte_transaction_as_inner_node() -> None:
    """Two hashes whose bytes also are a transaction: a forged leaf may hang below a real one."""
    node = struct.pack("<i", 1) + b"\x01" + bytes(36) + b"\x04" + bytes(8)
    node += b"\x01" + struct.pack("<Q", 1000) + b"\x00" + bytes(4)
    assert len(node) == 64
    assert is_transaction_of_64_bytes(node)
    with pytest.raises(errors.InnerNodeError):
        merkle_root(node[:32], 0, [node[32:]])
    with pytest.raises(errors.InnerNodeError):
        merkle_root(node[32:], 1, [node[:32]])
    assert not is_transaction_of_64_bytes(node[:63])
    assert not is_transaction_of_64_bytes(node[:4] + b"\x02" + node[5:])


@given(st.binary(min_size=64, max_size=64))
def test_hashes_do_not_look_like_transactions(node: bytes) -> None:
    if is_transaction_of_64_bytes(node):
        assert node[4] == 1


def test_a_test_network_counts_only_when_it_is_named() -> None:
    with pytest.raises(errors.OtherNetworkError, match="counts only when you name"):
        verify_payload(RAW)
    with pytest.raises(errors.OtherNetworkError):
        verify_payload(RAW, chains=ChainTrust(networks={"signet", "testnet4"}))


@pytest.mark.parametrize("bits", [0x20800000, 0x00000000, 0x01003456, 0x217FFFFF, 0xFF123456])
def test_targets_that_are_none(bits: int) -> None:
    raw = HEADER[:72] + struct.pack("<I", bits) + HEADER[76:]
    with pytest.raises((errors.HeaderFormatError, errors.LowDifficultyError)):
        parse_header(raw, NETWORKS["regtest"])


# Any damage


def no_more_than_established(raw: bytes) -> None:
    try:
        facts = verify_payload(raw, chains=TRUST)
    except RefusedError:
        return
    valid = tied(VALID)
    if facts.tied:
        assert facts.bitcoin is not None
        # A plain path under another name is no plain path.
        found = replace(facts.bitcoin, plain_path=True)
        assert replace(facts, claimed=valid.claimed, found=found) == valid
    else:
        assert facts.timestamp_ms is None
        assert facts.remaining


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_any_byte_altered(index: int, value: int) -> None:
    no_more_than_established(RAW[:index] + bytes([value]) + RAW[index + 1 :])


@given(st.integers(0, len(RAW) - 1))
def test_any_truncation_is_refused(length: int) -> None:
    with pytest.raises(RefusedError):
        verify_payload(RAW[:length], chains=TRUST)


def test_every_bit_of_the_evidence() -> None:
    begin = RAW.index(b'"evidence"')
    for index in range(begin, len(RAW)):
        no_more_than_established(RAW[:index] + bytes([RAW[index] ^ 1]) + RAW[index + 1 :])


@given(st.binary(max_size=300))
def test_any_bytes_are_no_transaction(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        read_anchor(raw, ROOT)


@given(st.data())
def test_damaged_transactions_are_refused_or_carry_the_root(data: st.DataObject) -> None:
    raw = transaction(ROOT, witness=data.draw(st.booleans()))
    at, size = data.draw(st.integers(0, len(raw))), data.draw(st.integers(0, 40))
    damaged = raw[:at] + data.draw(st.binary(max_size=40)) + raw[at + size :]
    try:
        found: Any = read_anchor(damaged, ROOT)
    except RefusedError:
        return
    assert found.stripped[found.root_at : found.root_at + 32] == ROOT
    assert found.txid == double_sha256(found.stripped)
