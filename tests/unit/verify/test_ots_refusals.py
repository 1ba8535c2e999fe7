"""OpenTimestamps files that are refused: malformed, forged, damaged anywhere, made to cost."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentimestamps.core.serialize import BytesDeserializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile
from tests.support.ots_files import (
    ANCHORED,
    BITCOIN,
    BRANCHES,
    HEAD,
    HELLO,
    INCOMPLETE,
    OURS,
    PENDING,
    TRUST,
    about,
)

from proof.verify import RefusedError, errors, verify_ots
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.writing import write_ots

REFUSED: dict[str, tuple[type[RefusedError], bytes]] = {
    "empty": (errors.OtsMagicError, b""),
    "another magic": (errors.OtsMagicError, HELLO.replace(b"Proof", b"proof", 1)),
    "later version": (errors.OtsMagicError, HELLO.replace(b"\x94\x01\x08", b"\x94\x02\x08")),
    "only magic": (errors.OtsTruncatedError, ots.MAGIC),
    "no digest": (errors.OtsTruncatedError, HEAD + b"\x08"),
    "digest cut": (errors.OtsTruncatedError, HEAD + b"\x08" + bytes(31)),
    "no timestamp": (errors.OtsTruncatedError, about(b"")),
    "file hashed by appending": (
        errors.OtsOperationError,
        HEAD + b"\xf0\x01\x00" + bytes(40),
    ),
    "unknown operation": (errors.OtsOperationError, about(b"\x09" + PENDING)),
    "two forks in one place": (errors.OtsOperationError, about(b"\xff\xff" + PENDING * 2)),
    "fork without an end": (errors.OtsTruncatedError, about(b"\xff" + PENDING)),
    "operation without an end": (errors.OtsTruncatedError, about(b"\x08")),
    "trailing bytes": (errors.OtsTrailingError, about(PENDING) + b"\x00"),
    "two files": (errors.OtsTrailingError, HELLO + HELLO),
    "empty argument": (errors.OtsArgumentError, about(b"\xf0\x00" + PENDING)),
    "argument of 4,097": (
        errors.OtsArgumentError,
        about(b"\xf0\x81\x20" + bytes(4097) + PENDING),
    ),
    "message of 4,097": (
        errors.OtsArgumentError,
        about(b"\xf0\xe1\x1f" + bytes(4065) + PENDING),
    ),
    "hexlify of 2,049": (
        errors.OtsArgumentError,
        about(b"\xf0\xe1\x0f" + bytes(2017) + b"\xf3" + PENDING),
    ),
    "hexlify bomb": (errors.OtsArgumentError, about(b"\xf3" * 200 + PENDING)),
    "length of 2^63": (
        errors.OtsNumberError,
        about(b"\xf0" + b"\xff" * 9 + b"\x01" + PENDING),
    ),
    "length in too many bytes": (
        errors.OtsNumberError,
        about(b"\xf0\x81\x00\x00" + PENDING),
    ),
    "length beyond the file": (errors.OtsTruncatedError, about(b"\xf0\x20\x00")),
    "depth bomb": (errors.OtsDepthError, about(b"\x08" * 257 + PENDING)),
    "depth bomb over forks": (
        errors.OtsDepthError,
        about((b"\xff" + PENDING + b"\x08") * 257 + PENDING),
    ),
    "depth bomb of a mebibyte": (
        errors.OtsTooLargeError,
        about(b"\x08" * ots.MAX_BYTES + PENDING),
    ),
    "operation bomb": (
        errors.OtsTooLargeError,
        about((b"\xff" + b"\x08" * 200 + b"\x00" * 10) * 200 + PENDING),
    ),
    "attestation bomb": (
        errors.OtsTooLargeError,
        about((b"\xff\x00" + b"\x01" * 8 + b"\x00") * 1001 + PENDING),
    ),
    "Keccak bomb": (
        errors.OtsTooLargeError,
        about((b"\xff\xf0\x80\x1f" + bytes(3968) + b"\x67" + PENDING) * 20 + PENDING),
    ),
    "Keccak bomb of short messages": (
        errors.OtsTooLargeError,
        about((b"\xff" + b"\x67" * 250 + PENDING) * 2 + PENDING),
    ),
    "RIPEMD-160 bomb of short messages": (
        errors.OtsTooLargeError,
        about((b"\xff" + b"\x03" * 250 + PENDING) * 5 + PENDING),
    ),
    "attestation cut": (errors.OtsTruncatedError, about(b"\x00\x01\x02")),
    "payload of 8,193": (
        errors.OtsArgumentError,
        about(bytes(1) + b"\x01" * 8 + b"\x81\x40" + bytes(8193)),
    ),
    "block of no Merkle root": (
        errors.OtsAttestationError,
        about(b"\xf0\x01\x00" + BITCOIN),
    ),
    "block without height": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x00"),
    ),
    "block with two heights": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x02\x07\x07"),
    ),
    "block at 2^35": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.BITCOIN_TAG + b"\x06\x80\x80\x80\x80\x80\x01"),
    ),
    "calendar with a space": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03a b"),
    ),
    "calendar with a query": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03a?b"),
    ),
    "calendar of half a surrogate": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x04\x03\xed\xa0\x80"),
    ),
    "calendar of no length": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x01\x00"),
    ),
    "calendar cut": (
        errors.OtsAttestationError,
        about(b"\x00" + ots.PENDING_TAG + b"\x03\x05ab"),
    ),
    "calendar of 1,001": (
        errors.OtsAttestationError,
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


BODY = HEAD + b"\x08" + bytes.fromhex(ANCHORED.payload["sha256"])
SIBLING = bytes.fromhex(ANCHORED.payload["evidence"]["path"][0])
(PLAIN_PATH,) = ANCHORED.payload["evidence"]["plainPath"]
PLAIN_ROOT = ANCHORED.payload["evidence"]["transaction"][-72:-8]
RIGHT = bytes.fromhex(PLAIN_PATH[0]["right"])


def by_the_contracts_root(*, in_its_own_place: bool) -> bytes:
    """The way from the hash to the contract's root, which needs hexlify, and on to the block."""
    file, node = ots.parse_ots(OURS), ANCHORED.payload["branch"]
    operations: list[ots.Operation] = []
    while "leftSha256" in node:
        side, other = ("left", "right") if "left" in node else ("right", "left")
        tag = ots.APPEND if side == "left" else ots.PREPEND
        sibling = node[f"{other}Sha256"].encode()
        operations[:0] = [(ots.HEXLIFY, b""), (tag, sibling), (ots.SHA256, b"")]
        node = node[side]
    (branch,) = file.timestamp.branches
    at = next(at for at, (_, argument) in enumerate(branch.operations) if len(argument) > 32)
    before, behind = branch.operations[at][1], branch.operations[at + 1][1]
    if in_its_own_place:
        before, behind = before[:-32], bytes.fromhex(PLAIN_ROOT) + behind
    operations += [(ots.PREPEND, before), (ots.APPEND, behind), *branch.operations[at + 2 :]]
    changed = replace(branch, operations=tuple(operations))
    return write_ots(replace(file, timestamp=replace(file.timestamp, branches=(changed,))))


FORGED: dict[str, Callable[[], bytes]] = {
    "swapped sibling": lambda: swapped(OURS, b"\xf1\x20" + SIBLING, b"\xf0\x20" + SIBLING),
    "other sibling": lambda: swapped(OURS, SIBLING, bytes(32)),
    "other file": lambda: swapped(
        OURS, bytes.fromhex(ANCHORED.payload["sha256"]), sha256(b"other").digest()
    ),
    "other height": lambda: OURS[:-1] + b"\x06",
    "leaf not hashed": lambda: swapped(OURS, BODY + b"\xf1\x01\x00\x08", BODY),
    "leaf hashed without its mark": lambda: swapped(OURS, BODY + b"\xf1\x01\x00", BODY),
    "leaf hashed before its mark": lambda: swapped(
        OURS, BODY + b"\xf1\x01\x00\x08", BODY + b"\x08\xf1\x01\x00"
    ),
    "leaf's mark behind it": lambda: swapped(OURS, BODY + b"\xf1", BODY + b"\xf0"),
    "leaf hashed as a node": lambda: swapped(OURS, BODY + b"\xf1\x01\x00", BODY + b"\xf1\x01\x01"),
    "plain sibling on the other side": lambda: swapped(
        OURS, b"\xf0\x20" + RIGHT, b"\xf1\x20" + RIGHT
    ),
    "node's mark before its sibling": lambda: swapped(
        OURS, b"\xf0\x20" + RIGHT + b"\xf1\x01\x01", b"\xf1\x01\x01\xf1\x20" + RIGHT
    ),
    "the contract's root in the plain root's place": lambda: by_the_contracts_root(
        in_its_own_place=False
    ),
}


def test_a_file_by_the_contracts_rule_is_as_right_as_any() -> None:
    established = verify_ots(by_the_contracts_root(in_its_own_place=True), chains=TRUST)
    assert established.tied
    assert established.digest.hex() == ANCHORED.payload["sha256"]


def test_an_inner_node_of_the_plain_tree_is_named_and_nothing_more() -> None:
    """Its 65 bytes existed, which is all that the file says."""
    step = BODY + b"\xf1\x01\x00\x08\xf0\x20" + RIGHT + b"\xf1\x01\x01\x08"
    assert OURS.startswith(step)
    leaf = sha256(b"\x00" + BODY[-32:]).digest()
    node = sha256(b"\x01" + leaf + RIGHT).digest()
    established = verify_ots(BODY[:-32] + node + OURS[len(step) :], chains=TRUST)
    assert (established.tied, established.digest) == (True, node)


@pytest.mark.parametrize("attack", FORGED)
def test_forged_files_do_not_come_to_the_block(attack: str) -> None:
    assert verify_ots(OURS, chains=TRUST).tied
    with pytest.raises(errors.OtherHeaderError):
        verify_ots(FORGED[attack](), chains=TRUST)


def test_a_height_above_the_headers_ties_nothing() -> None:
    established = verify_ots(OURS[:-1] + b"\x63", chains=TRUST)
    assert not established.tied
    assert "0 to 11" in established.remaining[0]


def test_unknown_attestations_are_kept_and_prove_nothing() -> None:
    raw = about(bytes(1) + b"\x01" * 8 + b"\x02hi")
    established = verify_ots(raw, chains=TRUST)
    assert [(attestation.tag, attestation.payload) for attestation in established.unknown] == [
        (b"\x01" * 8, b"hi")
    ]
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
    with pytest.raises(errors.OtsDepthError):
        ots.parse_ots(bomb)
    assert len(applied) == ots.MAX_DEPTH - 1
