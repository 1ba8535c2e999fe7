"""Bitcoin evidence: real blocks, and what ties it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import anchored, signer
from tests.support.anchored import Payload, double_sha256, rebuilt, transaction

from proof.verify import (
    ChainTrust,
    Established,
    TrustError,
    errors,
    load_headers,
    verify_payload,
)
from proof.verify.evidence.bitcoin import evidence as bitcoin
from proof.verify.evidence.bitcoin import headers
from proof.verify.evidence.bitcoin.evidence import merkle_root
from proof.verify.evidence.bitcoin.header import MIN_LONE_WORK, parse_header
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS
from proof.verify.evidence.bitcoin.transaction import read_anchor

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bitcoin.json").read_text())
ANCHORED = anchored.bitcoin()
VALID = ANCHORED.payload
HEADERS = load_headers(ANCHORED.file)
TRUST = ChainTrust(headers=HEADERS, networks={"regtest"})
NAMED = ChainTrust(networks={"regtest"})
ROOT = bytes.fromhex(VALID["tree"]["rootSha256"])
PLAIN = read_anchor(bytes.fromhex(VALID["evidence"]["transaction"]), ROOT).plain_root or b""
HEADER = bytes.fromhex(VALID["evidence"]["header"])
BLOCK = double_sha256(HEADER)


def dump(payload: Payload) -> bytes:
    return json.dumps(payload).encode()


def tied(payload: Payload, trust: ChainTrust = TRUST) -> Established:
    return verify_payload(dump(payload), chains=trust)


# Real blocks


@pytest.mark.parametrize("name", ["block_100000", "block_358391"])
def test_real_headers(name: str) -> None:
    block = VECTORS[name]
    header = parse_header(bytes.fromhex(block["header"]), NETWORKS[MAIN])
    assert header.hash[::-1].hex() == block["hash"]


def test_the_first_block_has_one_transaction_which_is_its_root() -> None:
    header = parse_header(bytes.fromhex(VECTORS["genesis"]["header"]), NETWORKS[MAIN])
    assert header.hash == NETWORKS[MAIN].genesis
    txid = double_sha256(bytes.fromhex(VECTORS["genesis"]["coinbase"]))
    assert merkle_root(txid, 0, []) == header.merkle_root
    assert (header.work, header.time_s) == (4295032833, 1231006505)


@pytest.mark.parametrize("index", range(4))
def test_the_real_paths_of_block_100000(index: int) -> None:
    block = VECTORS["block_100000"]
    txids = [bytes.fromhex(txid)[::-1] for txid in block["txids"]]
    root, path = anchored.merkle(txids, index)
    assert root == bytes.fromhex(block["header"])[36:68]
    assert merkle_root(txids[index], index, path) == root


def test_a_real_transaction_without_a_root_is_refused() -> None:
    with pytest.raises(errors.RootOutputError, match="0 OP_RETURN"):
        read_anchor(bytes.fromhex(VECTORS["genesis"]["coinbase"]), ROOT)


# What ties


def test_with_headers_it_is_tied() -> None:
    established = tied(VALID)
    assert established.tied
    assert established.remaining == ()
    assert established.timestamp_ms == VALID["tree"]["timestamp"]
    assert established.inclusion is None
    found = established.bitcoin
    assert found is not None
    assert (found.network, found.height, found.tied_by) == ("regtest", 7, "headers")
    assert found.block_hash == BLOCK
    assert found.work == 2
    assert found.chain_work == 24


def test_with_the_block_hash_it_is_tied() -> None:
    established = tied(VALID, ChainTrust(bitcoin_blocks={BLOCK}, networks={"regtest"}))
    assert established.tied
    assert established.bitcoin is not None
    assert established.bitcoin.tied_by == "block"


def test_alone_it_is_consistent_and_says_what_remains() -> None:
    established = tied(VALID, NAMED)
    assert not established.tied
    assert established.timestamp_ms is None
    (remaining,) = established.remaining
    assert BLOCK[::-1].hex() in remaining
    assert "height 7" in remaining


@pytest.mark.parametrize("count", [3, 7])
def test_headers_that_end_below_tie_nothing(count: int) -> None:
    headers = load_headers(anchored.header_file(ANCHORED.headers[:count]))
    established = tied(VALID, ChainTrust(headers=headers, networks={"regtest"}))
    assert not established.tied
    assert f"0 to {count - 1}" in established.remaining[0]


@pytest.fixture
def easy_main(monkeypatch: pytest.MonkeyPatch) -> Payload:
    """A payload on a main network whose blocks a test can make."""
    regtest = NETWORKS["regtest"]
    monkeypatch.setitem(NETWORKS, MAIN, replace(regtest, name=MAIN))
    payload = ANCHORED.changed()
    payload["evidence"]["network"] = MAIN
    return payload


def test_a_lone_main_header_under_the_floor_is_refused(easy_main: Payload) -> None:
    with pytest.raises(errors.LowDifficultyError, match=r"took 2\^1.0 hashes, under the 2\^76"):
        tied(easy_main, ChainTrust())
    trust = ChainTrust(bitcoin_blocks={BLOCK})
    assert tied(easy_main, trust).tied


def test_a_lone_main_header_above_the_floor_states_its_work(
    easy_main: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitcoin, "MIN_LONE_WORK", 2)
    established = tied(easy_main, ChainTrust())
    assert not established.tied
    assert "which took 2^1.0 hashes to make" in established.remaining[0]


def test_a_weak_main_chain_ties_nothing(
    easy_main: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers that anybody could have made do not stand for the main chain, though they match."""
    weak = ChainTrust(headers=load_headers(anchored.header_file(ANCHORED.headers, MAIN)))
    with pytest.raises(errors.LowDifficultyError):
        tied(easy_main, weak)
    monkeypatch.setattr(bitcoin, "MIN_LONE_WORK", 2)
    established = tied(easy_main, weak)
    assert not established.tied
    assert "took only 2^4.6 hashes, too few to be the main chain" in established.remaining[0]
    monkeypatch.setattr(headers, "MIN_MAIN_WORK", 24)
    assert tied(easy_main, weak).tied


@pytest.mark.parametrize("transactions", [1, 2, 3, 5, 6, 7, 11, 16])
def test_every_place_in_a_block(transactions: int) -> None:
    for index in range(transactions):
        found = anchored.bitcoin(transactions=transactions, index=index)
        trust = ChainTrust(headers=load_headers(found.file), networks={"regtest"})
        assert tied(found.payload, trust).tied


def test_a_foreign_transaction_carries_the_root_alone() -> None:
    foreign = anchored.bitcoin(foreign=True)
    trust = ChainTrust(headers=load_headers(foreign.file), networks={"regtest"})
    for payload, plain_root, plain_path in (
        (foreign.payload, None, False),
        (VALID, PLAIN, True),
    ):
        established = tied(payload, trust if payload is foreign.payload else TRUST)
        assert established.tied
        assert established.bitcoin is not None
        assert established.plain_root == established.bitcoin.plain_root == plain_root
        assert established.bitcoin.plain_path is plain_path


def test_without_a_plain_path_the_plain_root_is_only_named() -> None:
    payload = ANCHORED.changed()
    del payload["evidence"]["plainPath"]
    established = tied(payload)
    assert established.tied
    assert established.bitcoin is not None
    assert (established.plain_root, established.bitcoin.plain_path) == (PLAIN, False)


def test_the_plain_root_is_the_transactions_whatever_else_the_evidence_says() -> None:
    payload = ANCHORED.changed()
    payload["evidence"]["plainRoot"] = VALID["tree"]["rootSha256"]
    assert tied(payload) == tied(VALID)


def deeper(node: Payload, levels: int) -> Payload:
    """A branch as it stands under so many levels."""
    node["depth"] += levels
    for side in {"left", "right"} & node.keys():
        deeper(node[side], levels)
    return node


def chain_payload(others: list[tuple[bytes, bytes]], place: bytes | None = None) -> Payload:
    """The payload under a chain's tree over its round, which has `ROOT` and `PLAIN`, and `others`, each
    the contract's root and what stands in its place in the plain tree.

    `place`: the root of another round whose plain path is given in the place of the round's own.
    """
    rounds = sorted([(ROOT, PLAIN), *others])
    roots, plains = [root for root, _ in rounds], [plain for _, plain in rounds]
    payload, at = ANCHORED.changed(), roots.index(ROOT)
    below = payload["branch"]
    payload["branch"] = top = node = signer.branch([root.hex() for root in roots], at)
    while True:
        side = "left" if "left" in node else "right"
        if node[side]["sha256"] == ROOT.hex():
            break
        node = node[side]
    node[side] = deeper(below, node["depth"] + 1)
    payload["tree"]["rootSha256"] = top["sha256"]
    payload["evidence"]["plainPath"].append(signer.plain_path(plains, roots.index(place or ROOT)))
    rebuilt(payload, transaction(bytes.fromhex(top["sha256"]) + signer.plain_root(plains)))
    header = bytes.fromhex(payload["evidence"]["header"])
    payload["tree"]["timestamp"] = int.from_bytes(header[68:72], "little") * 1000
    payload["evidence"]["height"] = 99  # above the headers, which have another block at its own
    return payload


CHECKPOINT = (b"\x55" * 32, b"\x55" * 32)
CHAIN_TREES: dict[str, list[tuple[bytes, bytes]]] = {
    "one round and a checkpoint after it": [CHECKPOINT],
    "one round and a checkpoint before it": [(b"\x33" * 32, b"\x33" * 32)],
    "a round whose plain root is this one's root": [CHECKPOINT, (b"\x11" * 32, ROOT)],
    "a round whose root is this one's plain root": [CHECKPOINT, (PLAIN, b"\x22" * 32)],
}


@pytest.mark.parametrize("name", CHAIN_TREES)
def test_a_round_stands_in_its_own_place_of_both_trees(name: str) -> None:
    others = CHAIN_TREES[name]
    established = tied(chain_payload(others))
    assert established.bitcoin is not None
    assert established.bitcoin.plain_path
    for other, _ in others:
        with pytest.raises(errors.PlainPathError):
            tied(chain_payload(others, other))


def test_witnesses_change_nothing() -> None:
    found = anchored.bitcoin(witness=True)
    assert found.payload["evidence"]["transaction"] != VALID["evidence"]["transaction"]
    assert tied(found.payload) == tied(VALID)


def test_networks_must_exist_and_test_headers_must_be_named() -> None:
    with pytest.raises(TrustError, match="no network"):
        ChainTrust(networks={"liquid"})
    with pytest.raises(TrustError, match="only when it is named"):
        ChainTrust(headers=HEADERS)


def test_the_difficulty_floor_stands_between_the_networks_past_and_its_present() -> None:
    """Block 358391, of 2015, is easier than what may stand alone; one of 2025 (bits 1701ddd2) is not."""
    old = parse_header(bytes.fromhex(VECTORS["block_358391"]["header"]), NETWORKS[MAIN])
    assert old.work < MIN_LONE_WORK
    assert MIN_LONE_WORK < (1 << 256) // ((0x01DDD2 << 8 * 20) + 1)
