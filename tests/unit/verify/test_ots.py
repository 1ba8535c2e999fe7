"""OpenTimestamps files: public examples, the Python library as reference, and what a forger meets."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentimestamps.core.notary import (
    BitcoinBlockHeaderAttestation,
    PendingAttestation,
    UnknownAttestation,
)
from opentimestamps.core.op import (
    OpAppend,
    OpHexlify,
    OpKECCAK256,
    OpPrepend,
    OpReverse,
    OpRIPEMD160,
    OpSHA1,
    OpSHA256,
)
from opentimestamps.core.serialize import BytesDeserializationContext, BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp
from tests.support import anchored

from proof.verify import (
    ChainTrust,
    RefusedError,
    TrustedHeaders,
    chain_errors,
    errors,
    load_headers,
    ots,
    to_ots,
    verify_ots,
)
from proof.verify.headers import MIN_MAIN_WORK
from proof.verify.networks import MAIN, NETWORKS
from proof.verify.ots_proof import attestations
from proof.verify.ots_writing import graft, merge, write_ots, write_timestamp
from proof.verify.ripemd160 import ripemd160

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((FOLDER / "ots.json").read_text())
BLOCK = json.loads((FOLDER / "bitcoin.json").read_text())["block_358391"]
HELLO = bytes.fromhex(VECTORS["hello_world"]["ots"])
INCOMPLETE = bytes.fromhex(VECTORS["incomplete"]["ots"])
BRANCHES = bytes.fromhex(VECTORS["two_branches"]["ots"])

ANCHORED = anchored.bitcoin()
OURS = to_ots(ANCHORED.payload)
HEADERS = load_headers(ANCHORED.file)
TRUST = ChainTrust(headers=HEADERS, networks={"regtest"})
HEAD = ots.MAGIC + b"\x01"
DIGEST = sha256(b"x").digest()
PENDING = bytes(1) + ots.PENDING_TAG + b"\x0c\x0bhttps://a.b"
BITCOIN = bytes(1) + ots.BITCOIN_TAG + b"\x01\x07"


def about(body: bytes) -> bytes:
    """A file about the SHA-256 of `x`."""
    return HEAD + b"\x08" + DIGEST + body


def main_headers(work: int = MIN_MAIN_WORK) -> TrustedHeaders:
    """Block 358,391 as if its chain had been checked from the first block on."""
    raw = memoryview(bytes.fromhex(BLOCK["header"]))
    return TrustedHeaders(NETWORKS[MAIN], 358_391, 358_392, work, raw)


# Real files


def test_the_first_timestamp_there_was_is_tied_to_its_block() -> None:
    established = verify_ots(HELLO, chains=ChainTrust(headers=main_headers()))
    assert established.tied
    assert established.digest == sha256(b"Hello World!\n").digest()
    assert established.timestamp_ms == BLOCK["time"] * 1000
    (found,) = established.bitcoin
    assert (found.height, found.network) == (358_391, MAIN)
    assert established.remaining == ()


def test_headers_that_took_too_little_work_tie_nothing() -> None:
    established = verify_ots(HELLO, chains=ChainTrust(headers=main_headers(MIN_MAIN_WORK - 1)))
    assert not established.tied
    assert "too few to be the main chain" in established.remaining[0]


def test_without_headers_the_merkle_root_remains() -> None:
    (remaining,) = verify_ots(HELLO).remaining
    assert "height 358391" in remaining
    assert "8a1b66ecb7cbd07d8139a7e7d7f2c41aab1f5009b8364aaf61d03ad245e47e00" in remaining


def test_a_pending_file_names_its_calendar() -> None:
    established = verify_ots(INCOMPLETE)
    (promise,) = established.pending
    assert promise.uri == VECTORS["incomplete"]["uri"]
    assert not established.tied
    assert "proof ots upgrade" in established.remaining[0]


def test_a_fork_has_two_branches() -> None:
    established = verify_ots(BRANCHES)
    assert established.digest == sha256(b"a manifest\n").digest()
    assert [found.height for found in established.bitcoin] == [915_123]
    assert len(established.pending) == 2


@pytest.mark.parametrize("raw", [HELLO, INCOMPLETE, BRANCHES, OURS])
def test_a_file_is_written_as_it_was_read(raw: bytes) -> None:
    assert write_ots(ots.parse_ots(raw)) == raw


# Ours


@pytest.mark.parametrize("leaf_count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("transactions", [1, 3, 6])
def test_a_payload_becomes_an_ots_file(leaf_count: int, transactions: int) -> None:
    for leaf_index in range(leaf_count):
        given_ = anchored.bitcoin(leaf_count, leaf_index, transactions, transactions - 1)
        trust = ChainTrust(headers=load_headers(given_.file), networks={"regtest"})
        raw = to_ots(given_.payload)
        established = verify_ots(raw, chains=trust)
        assert established.timestamp_ms == given_.payload["tree"]["timestamp"]
        assert established.digest.hex() == given_.payload["sha256"]
        read = DetachedTimestampFile.deserialize(BytesDeserializationContext(raw))
        (attested,) = read.timestamp.all_attestations()
        assert attested[0][28:] == established.bitcoin[0].merkle_root[28:]


def test_witnesses_are_left_out() -> None:
    assert to_ots(anchored.bitcoin(witness=True).payload) == OURS
    assert to_ots(json.dumps(ANCHORED.payload).encode()) == OURS


def test_a_refused_payload_becomes_nothing() -> None:
    payload = ANCHORED.changed()
    payload["evidence"]["index"] = 2
    with pytest.raises(chain_errors.MerkleRootMismatchError):
        to_ots(payload)
    with pytest.raises(chain_errors.NotExpressibleError):
        to_ots(anchored.ethereum())
    with pytest.raises(errors.MemberError):
        to_ots({key: value for key, value in payload.items() if key != "evidence"})


def test_a_transaction_too_long_for_the_format() -> None:
    payload = ANCHORED.changed()
    root = bytes.fromhex(payload["tree"]["rootSha256"])
    raw = anchored.transaction(root, outputs=[b"\x51" * 200] * 20)
    header = anchored.mine(bytes(32), anchored.double_sha256(raw), 1296692802)
    payload["evidence"] |= {
        "transaction": raw.hex(), "path": [], "index": 0, "header": header.hex()
    }  # fmt: skip
    with pytest.raises(chain_errors.NotExpressibleError, match="4096"):
        to_ots(payload)


# The library as reference

OPERATIONS = st.sampled_from(
    [OpSHA256(), OpSHA1(), OpRIPEMD160(), OpKECCAK256(), OpHexlify(), OpReverse()]
) | st.builds(
    lambda kind, argument: kind(argument),
    st.sampled_from([OpAppend, OpPrepend]),
    st.binary(min_size=1, max_size=200),
)
ATTESTATIONS = (
    st.integers(0, 2**31 - 1).map(BitcoinBlockHeaderAttestation)
    | st.from_regex(r"[A-Za-z0-9._/:-]{1,40}", fullmatch=True).map(PendingAttestation)
    | st.builds(
        UnknownAttestation, st.binary(min_size=8, max_size=8), st.binary(max_size=200)
    ).filter(lambda found: found.TAG not in (ots.BITCOIN_TAG, ots.PENDING_TAG))
)


def grow(data: st.DataObject, timestamp: Timestamp, depth: int) -> None:
    for attestation in data.draw(st.lists(ATTESTATIONS, max_size=2)):
        is_bitcoin = isinstance(attestation, BitcoinBlockHeaderAttestation)
        if not is_bitcoin or len(timestamp.msg) == 32:
            timestamp.attestations.add(attestation)
    for operation in data.draw(st.lists(OPERATIONS, max_size=2)) if depth < 6 else ():
        if len(timestamp.msg) < 1500:
            grow(data, timestamp.ops.add(operation), depth + 1)
    if not timestamp.attestations and not timestamp.ops:
        timestamp.attestations.add(PendingAttestation("https://a.b"))


@pytest.mark.filterwarnings("ignore:OpReverse may get removed")
@given(st.data())
def test_any_file_of_the_library_is_read_and_written_the_same(data: st.DataObject) -> None:
    timestamp = Timestamp(data.draw(st.binary(min_size=32, max_size=32)))
    grow(data, timestamp, 0)
    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), timestamp).serialize(context)
    raw = context.getbytes()
    file = ots.parse_ots(raw)
    assert write_ots(file) == raw
    found = {(message, one.tag) for message, one in _attested(file.timestamp)}
    assert found == {(message, one.TAG) for message, one in timestamp.all_attestations()}


def _attested(timestamp: ots.Timestamp) -> list[tuple[bytes, ots.Attestation]]:
    found = [(timestamp.message, one) for one in timestamp.attestations]
    return found + [one for branch in timestamp.branches for one in _attested(branch.end)]


@given(st.binary(max_size=200))
def test_ripemd160_is_the_one_of_the_library(data: bytes) -> None:
    try:
        expected = hashlib.new("ripemd160", data).digest()
    except ValueError:
        expected = OpRIPEMD160()(data) if data else ripemd160(b"")
    assert ripemd160(data) == expected


def test_ripemd160_of_its_paper() -> None:
    assert ripemd160(b"").hex() == "9c1185a5c5e9fc54612808977ee8f548b2258d31"
    assert ripemd160(b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    assert ripemd160(b"a" * 1000).hex() == "aa69deee9a8922e92f8105e007f76110f381e9cf"


# Merging


def test_what_a_calendar_adds_is_kept_beside_the_promise() -> None:
    file = ots.parse_ots(INCOMPLETE)
    (promise,) = verify_ots(INCOMPLETE).pending
    answer = ots.parse_timestamp(b"\x08" + BITCOIN, promise.message)
    raw = write_ots(replace(file, timestamp=graft(file.timestamp, answer)))
    established = verify_ots(raw)
    assert [found.height for found in established.bitcoin] == [7]
    assert established.pending == (promise,)
    assert write_ots(ots.parse_ots(raw)) == raw
    read = DetachedTimestampFile.deserialize(BytesDeserializationContext(raw))
    assert len(list(read.timestamp.all_attestations())) == 2


def test_an_answer_that_fits_in_a_thousand_places_is_refused() -> None:
    ways = [
        b"\xf0" + ots.number_bytes(n) + bytes(n) + b"\xf0" + ots.number_bytes(1000 - n)
        + bytes(1000 - n) + PENDING
        for n in range(1, 900)
    ]  # fmt: skip
    file = ots.parse_ots(about(b"".join(b"\xff" + way for way in ways[1:]) + ways[0]))
    items = [b"\xf0\x02" + n.to_bytes(2, "big") + PENDING for n in range(2, 400)]
    message = file.timestamp.message + bytes(1000)
    answer = ots.parse_timestamp(b"".join(b"\xff" + one for one in items[1:]) + items[0], message)
    with pytest.raises(chain_errors.OtsTooLargeError, match="in 899 places"):
        graft(file.timestamp, answer)
    few = ots.parse_timestamp(items[0], message)
    assert len(list(attestations(graft(file.timestamp, few)))) == 2 * 899


def test_merging_shares_what_is_the_same() -> None:
    one = ots.parse_timestamp(b"\x08\x08\x08" + BITCOIN, DIGEST)
    other = ots.parse_timestamp(b"\x08\xff\x08" + PENDING + b"\xf0\x01\x00" + PENDING, DIGEST)
    merged = merge(one, other)
    assert write_timestamp(merged) == (
        b"\x08\xff\x08\xff" + PENDING + b"\x08" + BITCOIN + b"\xf0\x01\x00" + PENDING
    )
    assert write_timestamp(merge(merged, other)) == write_timestamp(merged)
    assert write_timestamp(merge(other, one)) == write_timestamp(merged)
    with pytest.raises(chain_errors.OtsMergeError):
        merge(one, ots.parse_timestamp(PENDING, bytes(32)))


# Refusals

REFUSED: dict[str, tuple[type[RefusedError], bytes]] = {
    "empty": (chain_errors.OtsMagicError, b""),
    "another magic": (chain_errors.OtsMagicError, HELLO.replace(b"Proof", b"proof", 1)),
    "later version": (chain_errors.OtsMagicError, HELLO.replace(b"\x94\x01\x08", b"\x94\x02\x08")),
    "only magic": (chain_errors.OtsTruncatedError, ots.MAGIC),
    "no digest": (chain_errors.OtsTruncatedError, HEAD + b"\x08"),
    "digest cut": (chain_errors.OtsTruncatedError, HEAD + b"\x08" + bytes(31)),
    "no timestamp": (chain_errors.OtsTruncatedError, about(b"")),
    "file hashed by appending": (
        chain_errors.OtsOperationError,
        HEAD + b"\xf0\x01\x00" + bytes(40),
    ),
    "unknown operation": (chain_errors.OtsOperationError, about(b"\x09" + PENDING)),
    "two forks in one place": (chain_errors.OtsOperationError, about(b"\xff\xff" + PENDING * 2)),
    "fork without an end": (chain_errors.OtsTruncatedError, about(b"\xff" + PENDING)),
    "operation without an end": (chain_errors.OtsTruncatedError, about(b"\x08")),
    "trailing bytes": (chain_errors.OtsTrailingError, about(PENDING) + b"\x00"),
    "two files": (chain_errors.OtsTrailingError, HELLO + HELLO),
    "empty argument": (chain_errors.OtsArgumentError, about(b"\xf0\x00" + PENDING)),
    "argument of 4,097": (
        chain_errors.OtsArgumentError,
        about(b"\xf0\x81\x20" + bytes(4097) + PENDING),
    ),
    "message of 4,097": (
        chain_errors.OtsArgumentError,
        about(b"\xf0\xe1\x1f" + bytes(4065) + PENDING),
    ),
    "hexlify of 2,049": (
        chain_errors.OtsArgumentError,
        about(b"\xf0\xe1\x0f" + bytes(2017) + b"\xf3" + PENDING),
    ),
    "hexlify bomb": (chain_errors.OtsArgumentError, about(b"\xf3" * 200 + PENDING)),
    "length of 2^63": (
        chain_errors.OtsNumberError,
        about(b"\xf0" + b"\xff" * 9 + b"\x01" + PENDING),
    ),
    "length in too many bytes": (
        chain_errors.OtsNumberError,
        about(b"\xf0\x81\x00\x00" + PENDING),
    ),
    "length beyond the file": (chain_errors.OtsTruncatedError, about(b"\xf0\x20\x00")),
    "depth bomb": (chain_errors.OtsDepthError, about(b"\x08" * 257 + PENDING)),
    "depth bomb over forks": (
        chain_errors.OtsDepthError,
        about((b"\xff" + PENDING + b"\x08") * 257 + PENDING),
    ),
    "depth bomb of a mebibyte": (
        chain_errors.OtsTooLargeError,
        about(b"\x08" * ots.MAX_BYTES + PENDING),
    ),
    "operation bomb": (
        chain_errors.OtsTooLargeError,
        about((b"\xff" + b"\x08" * 200 + b"\x00" * 10) * 200 + PENDING),
    ),
    "attestation bomb": (
        chain_errors.OtsTooLargeError,
        about((b"\xff\x00" + b"\x01" * 8 + b"\x00") * 1001 + PENDING),
    ),
    "Keccak bomb": (
        chain_errors.OtsTooLargeError,
        about((b"\xff\xf0\x80\x1f" + bytes(3968) + b"\x67" + PENDING) * 20 + PENDING),
    ),
    "Keccak bomb of short messages": (
        chain_errors.OtsTooLargeError,
        about((b"\xff" + b"\x67" * 250 + PENDING) * 2 + PENDING),
    ),
    "RIPEMD-160 bomb of short messages": (
        chain_errors.OtsTooLargeError,
        about((b"\xff" + b"\x03" * 250 + PENDING) * 5 + PENDING),
    ),
    "attestation cut": (chain_errors.OtsTruncatedError, about(b"\x00\x01\x02")),
    "payload of 8,193": (
        chain_errors.OtsArgumentError,
        about(bytes(1) + b"\x01" * 8 + b"\x81\x40" + bytes(8193)),
    ),
    "block of no Merkle root": (
        chain_errors.OtsAttestationError,
        about(b"\xf0\x01\x00" + BITCOIN),
    ),
    "block without height": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x00"),
    ),
    "block with two heights": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x02\x07\x07"),
    ),
    "block at 2^35": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x06\x80\x80\x80\x80\x80\x01"),
    ),
    "calendar with a space": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03a b"),
    ),
    "calendar with a query": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03a?b"),
    ),
    "calendar of half a surrogate": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03\xed\xa0\x80"),
    ),
    "calendar of no length": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x01\x00"),
    ),
    "calendar cut": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x03\x05ab"),
    ),
    "calendar of 1,001": (
        chain_errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\xeb\x07\xe9\x07" + b"a" * 1001),
    ),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_a_malformed_file_is_refused(attack: str) -> None:
    expected, raw = REFUSED[attack]
    with pytest.raises(expected):
        verify_ots(raw)


def swapped(raw: bytes, old: bytes, new: bytes) -> bytes:
    assert raw.count(old) == 1
    return raw.replace(old, new)


SIBLING = bytes.fromhex(ANCHORED.payload["evidence"]["path"][0])
FORGED: dict[str, Callable[[], bytes]] = {
    "swapped sibling": lambda: swapped(OURS, b"\xf1\x20" + SIBLING, b"\xf0\x20" + SIBLING),
    "other sibling": lambda: swapped(OURS, SIBLING, bytes(32)),
    "other file": lambda: swapped(
        OURS, bytes.fromhex(ANCHORED.payload["sha256"]), sha256(b"other").digest()
    ),
    "other height": lambda: OURS[:-1] + b"\x06",
}


@pytest.mark.parametrize("attack", FORGED)
def test_forged_files_do_not_come_to_the_block(attack: str) -> None:
    assert verify_ots(OURS, chains=TRUST).tied
    with pytest.raises(chain_errors.OtherHeaderError):
        verify_ots(FORGED[attack](), chains=TRUST)


def test_a_height_above_the_headers_ties_nothing() -> None:
    established = verify_ots(OURS[:-1] + b"\x63", chains=TRUST)
    assert not established.tied
    assert "0 to 11" in established.remaining[0]


def test_unknown_attestations_are_kept_and_prove_nothing() -> None:
    raw = about(bytes(1) + b"\x01" * 8 + b"\x02hi")
    established = verify_ots(raw, chains=TRUST)
    assert [(one.tag, one.payload) for one in established.unknown] == [(b"\x01" * 8, b"hi")]
    assert not established.tied
    assert established.remaining == ("The file has no attestation that this verifier knows.",)


def test_the_deepest_file_allowed() -> None:
    raw = about(b"\x08" * 256 + PENDING)
    assert write_ots(ots.parse_ots(raw)) == raw


# Any damage


def no_more_than_established(raw: bytes) -> None:
    try:
        facts = verify_ots(raw, chains=TRUST)
    except RefusedError:
        return
    if facts.tied:
        assert facts.digest == verify_ots(OURS).digest
    else:
        assert facts.remaining


def test_every_bit_of_a_file() -> None:
    for index in range(len(OURS)):
        for bit in range(8):
            damaged = bytearray(OURS)
            damaged[index] ^= 1 << bit
            no_more_than_established(bytes(damaged))


@pytest.mark.parametrize("raw", [HELLO, INCOMPLETE, BRANCHES, OURS])
def test_every_truncation_is_refused(raw: bytes) -> None:
    for length in range(len(raw)):
        with pytest.raises(RefusedError):
            verify_ots(raw[:length])


@given(st.integers(0, len(OURS)), st.binary(max_size=6), st.integers(0, 6))
def test_any_splice(index: int, inserted: bytes, removed: int) -> None:
    no_more_than_established(OURS[:index] + inserted + OURS[index + removed :])


@pytest.mark.filterwarnings("ignore:OpReverse may get removed")
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read_as_the_library_reads_them(body: bytes) -> None:
    raw = about(body)
    try:
        file = ots.parse_ots(raw)
    except RefusedError:
        return
    reference: Any = DetachedTimestampFile.deserialize(BytesDeserializationContext(raw))
    assert reference.file_digest == file.timestamp.message


def test_a_bomb_of_reversals_stops_at_the_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[ots.Operation] = []

    def apply(operation: ots.Operation, message: bytes) -> bytes:
        applied.append(operation)
        return message[::-1]

    monkeypatch.setattr(ots, "apply_operation", apply)
    begun = about(b"\xf0\xe0\x1f" + bytes(4064))
    bomb = begun + b"\xf2" * (ots.MAX_BYTES - len(begun) - len(PENDING)) + PENDING
    with pytest.raises(chain_errors.OtsDepthError):
        ots.parse_ots(bomb)
    assert len(applied) == ots.MAX_DEPTH - 1
