"""Ethereum evidence: tries made as defined, RLP against its library, and what a forger meets."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
import rlp as reference
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from tests.support import anchored
from tests.support.anchored import CHAIN_ID, Payload, Trie, ethereum_header, signed_transaction
from tests.support.signer import branch, plain_root

from proof.verify import ChainTrust, RefusedError, errors, verify_payload
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.evidence import check_transaction, parse_ethereum_header
from proof.verify.evidence.ethereum.trie import value_at

LEAVES = sorted(sha256(str(n).encode()).digest() for n in range(5))
ROOT = bytes.fromhex(branch([leaf.hex() for leaf in LEAVES], 2)["sha256"])
PLAIN = plain_root(LEAVES)


# Signing waits for a test that asks, for the library of who signs takes long to import: while tests are
# collected, every worker of a parallel run would.


@cache
def valid() -> Payload:
    return anchored.ethereum()


@cache
def valid_raw() -> bytes:
    return json.dumps(valid()).encode()


@cache
def block() -> bytes:
    return bytes(keccak(bytes.fromhex(valid()["evidence"]["header"])))


def block_trust() -> ChainTrust:
    return ChainTrust(ethereum_blocks={block()})


def dump(payload: Payload) -> bytes:
    return json.dumps(payload).encode()


def test_with_the_block_hash_it_is_tied() -> None:
    established = verify_payload(valid_raw(), chains=block_trust())
    assert established.tied
    assert established.timestamp_ms == 1_770_000_000_000
    found = established.ethereum
    assert found is not None
    assert (found.chain_id, found.number, found.index) == (CHAIN_ID, 19, 1)
    assert "0x" + found.transaction_hash.hex() == valid()["tree"]["transaction"]
    assert found.block_hash == block()


@pytest.mark.parametrize("trust", [ChainTrust(), ChainTrust(ethereum_blocks={bytes(32)})])
def test_without_it_says_what_remains(trust: ChainTrust) -> None:
    established = verify_payload(valid_raw(), chains=trust)
    assert not established.tied
    (remaining,) = established.remaining
    assert "0x" + block().hex() in remaining


@pytest.mark.parametrize("transactions", [1, 2, 3, 17, 130])
def test_places_in_a_block(transactions: int) -> None:
    """Indexes from 128 on have keys of two bytes; one transaction alone is a leaf as the root."""
    for index in (0, 1, 16, 127, 128):
        if index < transactions:
            payload = anchored.ethereum(transactions, index)
            assert verify_payload(dump(payload)).ethereum is not None


def test_a_foreign_transaction_carries_the_root_alone() -> None:
    for payload, behind in ((anchored.ethereum(foreign=True), None), (valid(), PLAIN)):
        established = verify_payload(dump(payload))
        assert established.ethereum is not None
        assert established.plain_root == established.ethereum.plain_root == behind


def test_a_legacy_transaction() -> None:
    assert verify_payload(dump(anchored.ethereum(legacy=True))).ethereum is not None


def test_a_trie_with_nodes_inside_their_parents() -> None:
    values = {bytes([0x10 * n + m]): b"v" for n in range(3) for m in range(4)}
    trie = Trie(values | {b"\x11\x22": b"w" * 40})
    for key, value in {**values, b"\x11\x22": b"w" * 40}.items():
        assert value_at(trie.root, key, trie.path(key)) == value


def evidence(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["evidence"].update(members)


def tree(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["tree"].update(members)


def in_block(made: Callable[[], bytes], chain_id: int = CHAIN_ID) -> Callable[[Payload], object]:
    """Another transaction, in a block of its own."""

    def change(payload: Payload) -> None:
        trie = Trie({reference.encode(1): made(), reference.encode(0): b"\x02" + bytes(40)})
        payload["evidence"] |= {
            "chainId": chain_id,
            "header": ethereum_header(trie.root, 1_770_000_000).hex(),
            "proof": [node.hex() for node in trie.path(reference.encode(1))],
        }

    return change


def _fields_changed(at: int, value: Any) -> Callable[[Payload], object]:
    def change(payload: Payload) -> None:
        fields = reference.decode(bytes.fromhex(payload["evidence"]["header"]))
        fields = list(fields)
        fields[at] = value
        payload["evidence"]["header"] = reference.encode(fields).hex()

    return change


def _list_changed(change: Callable[[list[str]], object]) -> Callable[[Payload], object]:
    return lambda payload: change(payload["evidence"]["proof"])


def _fee_market(data: bytes | list[bytes], access: list[Any]) -> bytes:
    """An unsigned transaction of type 2; the verifier leaves signatures to the block's makers."""
    fields = [CHAIN_ID, 1, 1, 2, 30_000, b"\x11" * 20, 0, data, access, 0, 1, 1]
    return b"\x02" + bytes(reference.encode(fields))


def _non_canonical(raw: bytes) -> bytes:
    """The same transaction with its list's length written in a byte more."""
    assert raw[1] == 0xF8
    return raw[:1] + b"\xf9\x00" + raw[2:]


FORGERIES: dict[str, tuple[type[RefusedError], Callable[[Payload], object]]] = {
    "node cut": (errors.TriePathError, _list_changed(lambda nodes: nodes.pop())),
    "node added": (
        errors.TriePathError,
        _list_changed(lambda nodes: nodes.append(nodes[0])),
    ),
    "nodes swapped": (errors.TrieHashError, _list_changed(lambda nodes: nodes.reverse())),
    "swapped sibling": (
        errors.TrieHashError,
        _list_changed(lambda nodes: nodes.__setitem__(0, nodes[0][:-2] + "81")),
    ),
    "other index": (errors.TrieHashError, evidence(index=0)),
    "index in no block": (errors.TriePathError, evidence(index=20)),
    "depth bomb": (errors.MemberError, evidence(proof=["80"] * 10_000)),
    "long node": (errors.HexError, evidence(proof=["80" * 4_097])),
    "no nodes": (errors.MemberError, evidence(proof=None)),
    "empty proof": (errors.TriePathError, evidence(proof=[])),
    "nested lists": (
        errors.RlpError,
        evidence(header=("f9" + "07fa") + "c1" * 2041 + "c0"),
    ),
    "another root": (
        errors.EthereumDataError,
        in_block(lambda: signed_transaction(sha256(b"x").digest(), 1)),
    ),
    "root with more behind it": (
        errors.EthereumDataError,
        in_block(lambda: signed_transaction(ROOT + b"x", 1)),
    ),
    "two roots with more behind them": (
        errors.EthereumDataError,
        in_block(lambda: signed_transaction(ROOT + PLAIN + b"x", 1)),
    ),
    "the halves the other way round": (
        errors.EthereumDataError,
        in_block(lambda: signed_transaction(PLAIN + ROOT, 1)),
    ),
    "the plain root sold as the root": (
        errors.EthereumDataError,
        lambda p: (
            p.update(sha256=PLAIN.hex(), branch={"sha256": PLAIN.hex(), "depth": 0}),
            p["tree"].update(rootSha256=PLAIN.hex()),
        ),
    ),
    "another root before the plain root": (
        errors.EthereumDataError,
        in_block(lambda: signed_transaction(bytes(32) + PLAIN, 1)),
    ),
    "for another chain": (errors.ChainIdError, in_block(lambda: signed_transaction(ROOT, 1), 1)),
    "legacy for another chain": (
        errors.ChainIdError,
        in_block(lambda: signed_transaction(ROOT, 1, legacy=True), 1),
    ),
    "legacy for any chain": (
        errors.ChainIdError,
        in_block(lambda: reference.encode([1, 1, 1, bytes(20), 0, ROOT, 27, 5, 5])),
    ),
    "root in the access list": (
        errors.EthereumDataError,
        in_block(lambda: _fee_market(b"", [[b"\x11" * 20, [ROOT]]])),
    ),
    "data that is a list": (
        errors.EthereumDataError,
        in_block(lambda: _fee_market([ROOT], [])),
    ),
    "length in a byte too many": (
        errors.RlpError,
        in_block(lambda: _non_canonical(signed_transaction(ROOT, 1))),
    ),
    "blob transaction": (
        errors.EthereumTransactionError,
        in_block(lambda: b"\x03" + signed_transaction(ROOT, 1)[1:]),
    ),
    "transaction of few fields": (
        errors.EthereumTransactionError,
        in_block(lambda: b"\x02" + reference.encode([CHAIN_ID, ROOT, bytes(40)])),
    ),
    "header without fields": (
        errors.EthereumHeaderError,
        evidence(header=reference.encode([b""] * 14).hex()),
    ),
    "header with a list": (errors.EthereumHeaderError, _fields_changed(7, [])),
    "header with a short root": (errors.EthereumHeaderError, _fields_changed(4, bytes(31))),
    "header of the year 10000": (errors.EthereumHeaderError, _fields_changed(11, 2**40)),
    "header time with zeros": (errors.RlpError, _fields_changed(11, b"\x00\x01")),
    "header of another block": (errors.TrieHashError, _fields_changed(4, bytes(32))),
    "header cut": (
        errors.RlpError,
        lambda p: p["evidence"].update(header=p["evidence"]["header"][:-2]),
    ),
    "header lengthened": (
        errors.RlpError,
        lambda p: p["evidence"].update(header=p["evidence"]["header"] + "00"),
    ),
    "other currency": (errors.CurrencyMismatchError, tree(currencyId=0)),
    "other transaction": (errors.TransactionMismatchError, tree(transaction="0x" + "00" * 32)),
    "other time": (errors.TimestampMismatchError, tree(timestamp=1)),
    "chain id as text": (errors.MemberError, evidence(chainId="1")),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_evidence_is_refused(attack: str) -> None:
    expected, change = FORGERIES[attack]
    payload = copy.deepcopy(valid())
    change(payload)
    with pytest.raises(expected):
        verify_payload(dump(payload), chains=block_trust())


SELECTOR = keccak(b"anchor(bytes32,bytes32)")[:4]
OTHER_DATA: dict[str, bytes] = {
    "nothing": b"",
    "31 bytes": ROOT[:31],
    "33 bytes": ROOT + b"\x00",
    "a byte before the root": b"\x00" + ROOT,
    "63 bytes": ROOT + PLAIN[:31],
    "65 bytes": ROOT + PLAIN + b"\x00",
    "a byte before both roots": b"\x00" + ROOT + PLAIN,
    "96 bytes": ROOT + PLAIN + bytes(32),
    "96 bytes, the roots last": bytes(32) + ROOT + PLAIN,
    "a selector and the root": SELECTOR + ROOT,
    "a selector and both roots": SELECTOR + ROOT + PLAIN,
    "the roots in hexadecimal": (ROOT + PLAIN).hex().encode(),
    "the root in hexadecimal": ROOT.hex().encode(),
    "the plain root alone": PLAIN,
    "the plain root twice": PLAIN + PLAIN,
}


@pytest.mark.parametrize("name", OTHER_DATA)
def test_data_of_another_form_is_refused(name: str) -> None:
    check_transaction(_fee_market(ROOT + PLAIN, []), ROOT, CHAIN_ID)
    with pytest.raises(errors.EthereumDataError):
        check_transaction(_fee_market(OTHER_DATA[name], []), ROOT, CHAIN_ID)


# RLP

ITEMS = st.recursive(
    st.binary(max_size=70), lambda children: st.lists(children, max_size=5), max_leaves=20
)


def nesting(item: Any) -> int:
    return 0 if isinstance(item, bytes) else 1 + max(map(nesting, item), default=0)


@given(ITEMS)
def test_rlp_reads_what_the_library_writes(item: Any) -> None:
    if nesting(item) <= rlp.MAX_NESTING:
        assert rlp.decode(reference.encode(item)) == item


@given(ITEMS)
def test_rlp_writes_what_the_library_writes(item: Any) -> None:
    assert rlp.encode(item) == reference.encode(item)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_535, 65_536])
def test_rlp_lengths_at_their_edges(size: int) -> None:
    items: list[rlp.Item] = [bytes(size), [b"\x01"] * size]
    for item in items:
        assert rlp.encode(item) == reference.encode(item)


@given(st.binary(max_size=80))
def test_rlp_refuses_what_the_library_refuses(raw: bytes) -> None:
    try:
        found = rlp.decode(raw)
    except errors.RlpError:
        return
    assert reference.encode(found) == raw


@given(st.integers(0, 2**64 - 1))
def test_rlp_integers(value: int) -> None:
    raw = rlp.encode_integer(value)
    assert raw == reference.encode(value)
    assert rlp.integer(rlp.decode(raw), "it") == value


def test_rlp_is_bounded() -> None:
    for raw in (b"\xc1" * 60_000, b"\xfa\x00\xea\x60" + b"\x80" * 60_000, b"\xbf" + b"\xff" * 8):
        with pytest.raises(errors.RlpError):
            rlp.decode(raw)


# Any damage


def no_more_than_established(raw: bytes) -> None:
    try:
        facts = verify_payload(raw, chains=block_trust())
    except RefusedError:
        return
    sound = verify_payload(valid_raw(), chains=block_trust())
    if facts.tied:
        assert replace(facts, claimed=sound.claimed) == sound
    else:
        assert facts.remaining


def _places() -> st.SearchStrategy[int]:
    return st.integers(valid_raw().index(b'"evidence"'), len(valid_raw()) - 1)


@given(st.deferred(_places), st.integers(0, 255))
def test_any_byte_altered(index: int, value: int) -> None:
    no_more_than_established(valid_raw()[:index] + bytes([value]) + valid_raw()[index + 1 :])


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=3))
def test_any_bytes_are_no_header_no_node_and_no_transaction(raw: bytes, key: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_ethereum_header(raw)
    with pytest.raises(RefusedError):
        value_at(keccak(raw), key, [raw])
    with pytest.raises(RefusedError):
        check_transaction(raw or b"\x00", ROOT, 1)
