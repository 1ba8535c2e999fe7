"""Every bound of the verifier's parsers: what lies on it is read, what lies beyond is refused by name.

The numbers are written out, as a change of one is a change of what others can have verified.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rlp as reference
from tests.support import anchored, upstreams
from tests.support.anchored import transaction

from proof.verify import errors, files, strict_json, verify_payload
from proof.verify.errors import DerError, TokenTimeError
from proof.verify.evidence.bitcoin.evidence import untied_reason
from proof.verify.evidence.bitcoin.headers import load_headers
from proof.verify.evidence.bitcoin.transaction import is_transaction_of_64_bytes, read_anchor
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.evidence import parse_ethereum_header
from proof.verify.evidence.log import checkpoint, note, rfc6962
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots import writing as ots_writing
from proof.verify.evidence.rfc3161 import certificate, der, rsa
from proof.verify.strict_json import parse_json

ROOT = bytes(range(32))


def _nested_json(depth: int) -> bytes:
    """So deep, with more brackets in all than any limit."""
    return b"[" + b"[],{}," * 80 + b"[" * (depth - 1) + b"]" * depth


def _digits(count: int) -> str:
    return "ab" * (count // 2) + "a" * (count % 2)


def _header(fields: int) -> bytes:
    sizes = {0: 32, 1: 32, 2: 20, 3: 32, 4: 32, 5: 32, 6: 256, 13: 32, 14: 8}
    return bytes(reference.encode([b"\x01" * sizes.get(at, 1) for at in range(fields)]))


def _compact(number: int) -> bytes:
    return bytes([number]) if number < 0xFD else b"\xfd" + struct.pack("<H", number)


def _transaction(inputs: int, outputs: int, *, witness: bytes = b"") -> bytes:
    """The last of the outputs carries the root."""
    coins = (bytes(36) + b"\x00" + bytes(4)) * inputs
    values = (bytes(8) + b"\x01\x51") * (outputs - 1) + bytes(8) + b"\x22\x6a\x20" + ROOT
    body = _compact(inputs) + coins + _compact(outputs) + values
    return bytes(4) + (b"\x00\x01" if witness else b"") + body + witness + bytes(4)


def _text(length: int) -> object:
    return strict_json.text({"it": "x" * length}, "it", "that")


def _list(depth: int, items: int) -> object:
    item: Any = [b""] * items
    for _ in range(depth - 1):
        item = [item]
    return rlp.decode(reference.encode(item))


def _der_integer(octets: int) -> object:
    return der.integer(der.Value(der.INTEGER, b"\x01" * octets, b""), "it")


def _oid(octets: int) -> object:
    return der.identifier(der.Value(der.OID, b"\x01" * octets, b""), "it")


def _der_list(items: int) -> object:
    return der.Reader(b"\x05\x00" * items, "it").all()


def _der_length(octets: int, length: int) -> object:
    raw = bytes([0x04, 0x80 + octets]) + length.to_bytes(octets, "big") + bytes(length)
    return der.Reader(raw, "it").value()


def _note(signatures: int, body: int = 1) -> object:
    line = "— a " + "AAAAAAA="
    return note.parse_note(("x" * body + "\n\n" + f"{line}\n" * signatures).encode())


def _note_of(length: int) -> object:
    lines = b"\n\n" + "— a AAAAAAA=\n".encode()
    return note.parse_note(b"x" * (length - len(lines)) + lines)


PENDING = b"\x00" + ots.PENDING_TAG
ADDRESS = PENDING + b"\x02\x01a"


def _ots(raw: bytes, message: bytes = ROOT) -> object:
    return ots.parse_timestamp(raw, message)


def _cosigned(time_s: int) -> object:
    payload = time_s.to_bytes(8, "big") + bytes(64)
    return checkpoint._cosigned_time_s(note.SignatureLine("a", bytes(4), payload))


def _claimed(currency_id: int, timestamp_ms: int = 0) -> object:
    payload = anchored.ethereum()
    payload["tree"] |= {"currencyId": currency_id, "timestamp": timestamp_ms, "currency": "X"}
    return verify_payload(payload | {"evidence": {"type": "other"}})


def _time(fraction: str) -> object:
    return certificate.generalized_time_ms(f"20260102030405.{fraction}Z".encode(), "it")


ON_AND_BEYOND: dict[str, tuple[type[Exception], Callable[[int], object], int, int]] = {
    "characters of a text, least": (errors.MemberError, _text, 1, 0),
    "characters of a text": (errors.MemberError, _text, 1024, 1025),
    "a number": (
        errors.MemberError,
        lambda n: strict_json.integer({"it": n}, "it", "that", 7),
        7,
        8,
    ),
    "a number, least": (
        errors.MemberError,
        lambda n: strict_json.integer({"it": n}, "it", "that", 7),
        0,
        -1,
    ),
    "bytes in hex, least": (
        errors.HexError,
        lambda n: strict_json.hex_bytes("ab" * n, "it", 2, 4),
        2,
        1,
    ),
    "bytes in hex": (errors.HexError, lambda n: strict_json.hex_bytes("ab" * n, "it", 2, 4), 4, 5),
    "items in hex": (
        errors.MemberError,
        lambda n: strict_json.hex_list(["ab"] * n, "it", 3, 1, 1),
        3,
        4,
    ),
    "texts of a list": (
        errors.MemberError,
        lambda n: strict_json.text_list(["x"] * n, "it", 3),
        3,
        4,
    ),
    "digits of a hash": (
        errors.HexError,
        lambda n: strict_json.decode_hashes([_digits(n)], "it"),
        64,
        65,
    ),
    "digits of a hash, least": (
        errors.HexError,
        lambda n: strict_json.decode_hashes([_digits(n)], "it"),
        64,
        63,
    ),
    "hashes of a half more": (
        errors.HexError,
        lambda n: strict_json.decode_hashes([_digits(n)] * 2, "it"),
        64,
        96,
    ),
    "bytes of a proof": (
        errors.PayloadTooLargeError,
        lambda n: parse_json(b'"%s"' % (b"x" * (n - 2))),
        2**20,
        2**20 + 1,
    ),
    "levels of a proof's text": (
        errors.NestingError,
        lambda n: parse_json(_nested_json(n)),
        100,
        101,
    ),
    "entries of a log": (errors.LogSizeError, rfc6962._check_size, 2**63 - 1, 2**63),
    "entries of a log, least": (errors.LogSizeError, rfc6962._check_size, 0, -1),
    "seconds of a cosignature": (errors.CosignatureTimeError, _cosigned, 2**63 - 1, 2**63),
    "a currency": (errors.MemberError, _claimed, 2**31 - 1, 2**31),
    "a tree's time": (
        errors.MemberError,
        lambda n: _claimed(9, n),
        253_402_300_799_999,
        253_402_300_800_000,
    ),
    "signatures of a checkpoint": (errors.NoteTooLargeError, _note, 64, 65),
    "bytes of a checkpoint": (errors.NoteTooLargeError, _note_of, 131_072, 131_073),
    "lists in lists": (errors.RlpError, lambda n: _list(n, 0), 8, 9),
    "items of RLP": (errors.RlpError, lambda n: _list(1, n), 4095, 4096),
    "items of RLP in two lists": (errors.RlpError, lambda n: _list(2, n), 4094, 4095),
    "fields of a header, least": (
        errors.EthereumHeaderError,
        lambda n: parse_ethereum_header(_header(n)),
        15,
        14,
    ),
    "fields of a header": (
        errors.EthereumHeaderError,
        lambda n: parse_ethereum_header(_header(n)),
        40,
        41,
    ),
    "bytes of an RLP number": (
        errors.RlpError,
        lambda n: rlp.integer(b"\x01" * n, "it"),
        8,
        9,
    ),
    "inputs, least": (
        errors.TransactionTooLargeError,
        lambda n: read_anchor(_transaction(n, 2), ROOT),
        1,
        0,
    ),
    "inputs": (
        errors.TransactionTooLargeError,
        lambda n: read_anchor(_transaction(n, 2), ROOT),
        2000,
        2001,
    ),
    "outputs": (
        errors.TransactionTooLargeError,
        lambda n: read_anchor(_transaction(1, n), ROOT),
        2000,
        2001,
    ),
    "items of a witness": (
        errors.TransactionFormatError,
        lambda n: read_anchor(_transaction(1, 1, witness=bytes([n]) + b"\x00" * n), ROOT),
        1,
        0,
    ),
    "octets of a number": (DerError, _der_integer, 1100, 1101),
    "octets of a number, least": (DerError, _der_integer, 1, 0),
    "octets of an identifier": (DerError, _oid, 32, 33),
    "octets of an identifier, least": (DerError, _oid, 1, 0),
    "values of a list": (DerError, _der_list, 64, 65),
    "octets of a length": (DerError, lambda n: _der_length(n, 1 << 8 * (n - 1)), 3, 4),
    "long form of a length, least": (DerError, lambda n: _der_length(1, n), 128, 127),
    "digits of a second": (TokenTimeError, lambda n: _time("1" * n), 9, 10),
    "digits of a second, least": (TokenTimeError, lambda n: _time("1" * n), 1, 0),
    "bytes of an OpenTimestamps argument, least": (
        errors.OtsArgumentError,
        lambda n: _ots(b"\xf0" + bytes([n]) + b"x" * n + ADDRESS),
        1,
        0,
    ),
    "bytes of an OpenTimestamps message": (
        errors.OtsArgumentError,
        lambda n: _ots(b"\xf0" + ots.number_bytes(n - 32) + b"x" * (n - 32) + ADDRESS),
        4096,
        4097,
    ),
    "bytes of a message in hex": (
        errors.OtsArgumentError,
        lambda n: ots.apply_operation((0xF3, b""), b"x" * n),
        2048,
        2049,
    ),
    "operations after one another": (
        errors.OtsDepthError,
        lambda n: _ots(b"\x08" * n + ADDRESS),
        256,
        257,
    ),
    "attestations": (
        errors.OtsTooLargeError,
        lambda n: _ots((b"\xff" + ADDRESS) * (n - 1) + ADDRESS),
        1000,
        1001,
    ),
    "operations": (
        errors.OtsTooLargeError,
        lambda n: _ots(
            (b"\xff" + b"\x08" * 25 + ADDRESS) * 799 + b"\x08" * (n - 799 * 25) + ADDRESS
        ),
        20_000,
        20_001,
    ),
    "blocks of slow hashing": (
        errors.OtsTooLargeError,
        lambda n: _ots((b"\xff" + b"\x03" * 205 + ADDRESS) * 4 + b"\x03" * (n - 820) + ADDRESS),
        1024,
        1025,
    ),
    "a height": (
        errors.OtsAttestationError,
        lambda n: ots.bitcoin_attestation(n, ROOT),
        2**31 - 1,
        2**31,
    ),
    "characters of a calendar's address": (
        errors.OtsAttestationError,
        lambda n: ots.pending_attestation("a" * n),
        1000,
        1001,
    ),
    "characters of a calendar's address, least": (
        errors.OtsAttestationError,
        lambda n: ots.pending_attestation("a" * n),
        1,
        0,
    ),
    "proofs inside one another": (
        errors.ProofDepthError,
        lambda n: verify_payload(upstreams.nested(n)),
        4,
        5,
    ),
    "bytes of an OpenTimestamps number": (
        errors.OtsNumberError,
        lambda n: ots.read_number(b"\x81" * (n - 1) + b"\x01", 0),
        9,
        10,
    ),
}


@pytest.mark.parametrize("bound", ON_AND_BEYOND)
def test_what_lies_on_a_bound_is_read_and_what_lies_beyond_is_refused(bound: str) -> None:
    error, read, on, beyond = ON_AND_BEYOND[bound]
    read(on)
    with pytest.raises(error):
        read(beyond)


@pytest.mark.parametrize(
    ("bits", "exponent", "usable"),
    [
        (2047, 65_537, False),
        (2048, 65_537, True),
        (8192, 65_537, True),
        (8193, 65_537, False),
        (2048, 1, False),
        (2048, 3, True),
        (2048, 4, False),
        (2048, 2**32 - 1, True),
        (2048, 2**32 + 1, False),
    ],
)
def test_which_rsa_keys_are_usable(bits: int, exponent: int, usable: bool) -> None:
    assert rsa.usable(2 ** (bits - 1) + 1, exponent) is usable
    assert not rsa.usable(2 ** (bits - 1), exponent)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("two inputs", {4: 2}),
        ("no inputs", {4: 0}),
        ("a long input script", {41: 5}),
        ("two outputs", {46: 2}),
        ("an output script that ends elsewhere", {55: 3}),
        ("more money than there is", {54: 8}),
    ],
)
def test_64_bytes_that_are_no_transaction(name: str, change: dict[int, int]) -> None:
    """A script of 4 bytes; the parts before the money are one input and one output."""
    node = bytearray(64)
    node[4], node[46], node[55] = 1, 1, 4
    node[47:55] = struct.pack("<Q", 21_000_000 * 100_000_000)
    assert is_transaction_of_64_bytes(bytes(node))
    for at, value in change.items():
        node[at] = value
    assert not is_transaction_of_64_bytes(bytes(node))
    assert not is_transaction_of_64_bytes(bytes(63))


def test_the_most_money_is_a_transactions_and_a_satoshi_more_is_not() -> None:
    node = bytearray(64)
    node[4], node[46], node[55] = 1, 1, 4
    node[47:55] = struct.pack("<Q", 21_000_000 * 100_000_000 + 1)
    assert not is_transaction_of_64_bytes(bytes(node))


def test_a_number_in_a_transaction_has_its_shortest_form_alone() -> None:
    raw = transaction(ROOT)
    assert re.match(rb"....\x01", raw, re.DOTALL)
    for long in (b"\xfd\x01\x00", b"\xfe\x01\x00\x00\x00", b"\xff\x01" + bytes(7)):
        with pytest.raises(errors.TransactionFormatError):
            read_anchor(raw[:4] + long + raw[5:], ROOT)
    assert read_anchor(_transaction(253, 253), ROOT).stripped


@pytest.mark.parametrize(("height", "within"), [(9, False), (10, True), (12, True), (13, False)])
def test_why_a_block_is_not_known_says_what_the_headers_reach(height: int, within: bool) -> None:
    raw = anchored.header_file(anchored.chain(13))
    headers = replace(load_headers(raw), start=10)
    said = untied_reason("regtest", height, headers)
    assert ("those of 10 to 12" in said) is not within


def test_unknown_attestations_of_one_kind_are_written_by_their_payload() -> None:
    item, other = (ots.Attestation(b"unknown!", payload) for payload in (b"a", b"b"))
    found = ots_writing.write_timestamp(ots.Timestamp(ROOT, (other, item), ()))
    assert found == b"\xff\x00unknown!\x01a\x00unknown!\x01b"


def test_calendars_are_written_by_their_addresses_whatever_their_lengths() -> None:
    first, second = map(ots.pending_attestation, ("https://aa", "https://b"))
    found = ots_writing.write_timestamp(ots.Timestamp(ROOT, (second, first), ()))
    assert found.index(b"https://aa") < found.index(b"https://b")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"branch": {}}', True),
        (b'\xef\xbb\xbf \n{"branch": {}}', True),
        (ots.MAGIC, True),
        (b'{"name": "a file of its own"}', False),
        (b'["branch"]', False),
        (b"", False),
    ],
)
def test_what_looks_like_a_proof(raw: bytes, expected: bool) -> None:
    assert files.looks_like_proof(raw) is expected
