"""OpenTimestamps files: public examples, ours, and the Python library as reference."""

import hashlib
import json
from dataclasses import replace
from hashlib import sha256

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
from tests.support.ots_files import (
    ANCHORED,
    BITCOIN,
    BLOCK,
    BRANCHES,
    DIGEST,
    HELLO,
    INCOMPLETE,
    OURS,
    PENDING,
    VECTORS,
    about,
    main_headers,
)
from tests.support.signer import plain_root

from proof.verify import ChainTrust, errors, load_headers, to_ots, verify_ots
from proof.verify.evidence.bitcoin.headers import MIN_MAIN_WORK
from proof.verify.evidence.bitcoin.networks import MAIN
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.evidence import attestations
from proof.verify.evidence.ots.ripemd160 import ripemd160
from proof.verify.evidence.ots.writing import graft, merge, write_ots, write_timestamp

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


def operations(timestamp: ots.Timestamp) -> set[int]:
    """The bytes of all operations below a message."""
    found: set[int] = set()
    for branch in timestamp.branches:
        found |= {tag for tag, _ in branch.operations} | operations(branch.end)
    return found


def test_a_file_of_ours_needs_append_prepend_and_sha256_alone() -> None:
    """What else a client lacks, it cannot read anything of the file."""
    for leaf_count in (1, 2, 7):
        raw = to_ots(anchored.bitcoin(leaf_count, leaf_count - 1).payload)
        assert operations(ots.parse_ots(raw).timestamp) <= {ots.APPEND, ots.PREPEND, ots.SHA256}


def test_without_a_plain_path_there_is_no_file() -> None:
    for payload in (anchored.bitcoin(foreign=True).payload, ANCHORED.changed()):
        payload["evidence"].pop("plainPath", None)
        with pytest.raises(errors.NotExpressibleError, match="plainPath"):
            to_ots(payload)


def test_witnesses_are_left_out() -> None:
    assert to_ots(anchored.bitcoin(witness=True).payload) == OURS
    assert to_ots(json.dumps(ANCHORED.payload).encode()) == OURS


def test_a_refused_payload_becomes_nothing() -> None:
    payload = ANCHORED.changed()
    payload["evidence"]["index"] = 2
    with pytest.raises(errors.MerkleRootMismatchError):
        to_ots(payload)
    with pytest.raises(errors.NotExpressibleError):
        to_ots(anchored.ethereum())
    with pytest.raises(errors.MemberError):
        to_ots({key: value for key, value in payload.items() if key != "evidence"})


def test_a_transaction_too_long_for_the_format() -> None:
    payload = ANCHORED.changed()
    root = bytes.fromhex(payload["tree"]["rootSha256"])
    plain = plain_root(sorted(sha256(str(n).encode()).digest() for n in range(5)))
    raw = anchored.transaction(root + plain, outputs=[b"\x51" * 200] * 20)
    header = anchored.mine(bytes(32), anchored.double_sha256(raw), 1296692802)
    payload["evidence"] |= {
        "transaction": raw.hex(), "path": [], "index": 0, "header": header.hex()
    }  # fmt: skip
    with pytest.raises(errors.NotExpressibleError, match="4096"):
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
    found = {(message, item.tag) for message, item in _attested(file.timestamp)}
    assert found == {(message, item.TAG) for message, item in timestamp.all_attestations()}


def _attested(timestamp: ots.Timestamp) -> list[tuple[bytes, ots.Attestation]]:
    found = [(timestamp.message, attestation) for attestation in timestamp.attestations]
    return found + [item for branch in timestamp.branches for item in _attested(branch.end)]


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
    answer = ots.parse_timestamp(b"".join(b"\xff" + item for item in items[1:]) + items[0], message)
    with pytest.raises(errors.OtsTooLargeError, match="in 899 places"):
        graft(file.timestamp, answer)
    few = ots.parse_timestamp(items[0], message)
    assert len(list(attestations(graft(file.timestamp, few)))) == 2 * 899


def test_merging_shares_what_is_the_same() -> None:
    timestamp = ots.parse_timestamp(b"\x08\x08\x08" + BITCOIN, DIGEST)
    other = ots.parse_timestamp(b"\x08\xff\x08" + PENDING + b"\xf0\x01\x00" + PENDING, DIGEST)
    merged = merge(timestamp, other)
    assert write_timestamp(merged) == (
        b"\x08\xff\x08\xff" + PENDING + b"\x08" + BITCOIN + b"\xf0\x01\x00" + PENDING
    )
    assert write_timestamp(merge(merged, other)) == write_timestamp(merged)
    assert write_timestamp(merge(other, timestamp)) == write_timestamp(merged)
    with pytest.raises(errors.OtsMergeError):
        merge(timestamp, ots.parse_timestamp(PENDING, bytes(32)))
