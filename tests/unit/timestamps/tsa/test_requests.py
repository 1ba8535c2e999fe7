"""Requests: what is read, what is refused, and that nothing else happens."""

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tsa import development_authority

from proof.core.clock import SystemClock
from proof.timestamps.tsa import der
from proof.timestamps.tsa.request import DIGESTS, Failure, RejectedError, parse_request

SHA1 = "1.3.14.3.2.26"
SHA256 = "2.16.840.1.101.3.4.2.1"


def query(
    *, version: int = 1, algorithm: str = SHA256, digest: bytes = bytes(32), rest: bytes = b""
) -> bytes:
    identifier = der.sequence(der.object_identifier(algorithm), der.tlv(der.NULL))
    imprint = der.sequence(identifier, der.tlv(der.OCTET_STRING, digest))
    return der.sequence(der.integer(version), imprint, rest)


def test_what_is_asked_is_read() -> None:
    rest = der.object_identifier("1.2.3") + der.integer(2**64) + b"\x01\x01\xff"
    request = parse_request(query(rest=rest))
    assert request.algorithm == SHA256
    assert (request.policy, request.nonce, request.certificates) == ("1.2.3", 2**64, True)
    assert request.has_null


@pytest.mark.parametrize(("algorithm", "size"), DIGESTS.items())
def test_each_digest_has_its_size(algorithm: str, size: int) -> None:
    assert parse_request(query(algorithm=algorithm, digest=bytes(size))).digest == bytes(size)
    with pytest.raises(RejectedError) as rejected:
        parse_request(query(algorithm=algorithm, digest=bytes(size - 1)))
    assert rejected.value.failure is Failure.BAD_DATA_FORMAT


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (b"", Failure.BAD_DATA_FORMAT),
        (b"GET / HTTP/1.1", Failure.BAD_DATA_FORMAT),
        (query() + b"\x00", Failure.BAD_DATA_FORMAT),
        (query(version=2), Failure.BAD_REQUEST),
        (query(version=2**30_000), Failure.BAD_REQUEST),
        (query(algorithm=SHA1, digest=bytes(20)), Failure.BAD_ALG),
        (query(rest=der.integer(2**300)), Failure.BAD_REQUEST),
        (query(rest=b"\xa0\x02\x30\x00"), Failure.UNACCEPTED_EXTENSION),
        (query(rest=b"\x01\x01\x00"), Failure.BAD_DATA_FORMAT),
        (b"\x30\x80" + query()[2:] + b"\x00\x00", Failure.BAD_DATA_FORMAT),
    ],
    ids=[
        "empty",
        "http",
        "more behind it",
        "version",
        "version of 9,000 digits",
        "sha1",
        "long nonce",
        "extension",
        "encoded default",
        "indefinite length",
    ],
)
def test_bad_requests_are_refused(raw: bytes, failure: Failure) -> None:
    with pytest.raises(RejectedError) as rejected:
        parse_request(raw)
    assert rejected.value.failure is failure
    assert rejected.value.message


RIGHT = query(digest=hashlib.sha256(b"x").digest(), rest=der.integer(12345))


@given(st.binary(max_size=200) | st.integers(0, len(RIGHT)).map(lambda n: RIGHT[:n]))
def test_anything_gets_an_answer(raw: bytes) -> None:
    answer = development_authority(SystemClock()).answer(raw)
    assert answer[:1] == b"\x30"


@given(st.integers(0, len(RIGHT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_answered(position: int, change: int) -> None:
    raw = bytearray(RIGHT)
    raw[position] ^= change
    read = None
    with suppress(RejectedError):
        read = parse_request(bytes(raw))
    assert read is None or len(read.digest) == DIGESTS[read.algorithm]
