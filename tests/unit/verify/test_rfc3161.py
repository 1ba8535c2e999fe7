"""RFC 3161 evidence: tokens of ours and of OpenSSL, and what a forger meets."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha1, sha256, sha512
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support import tokens
from tests.support.tokens import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    OIDS,
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    TIME_MS,
    Parts,
    Payload,
)

from proof.timestamps.tsa import der as writing
from proof.verify import ChainTrust, RefusedError, errors, verify_payload
from proof.verify.evidence.rfc3161 import der
from proof.verify.evidence.rfc3161.token import MAX_TOKEN_BYTES, parse_token

CERTIFICATE = tokens.certificate()
VALID = tokens.payload()
RAW = json.dumps(VALID).encode()
TOKEN = bytes.fromhex(VALID["evidence"]["token"])
TRUST = ChainTrust(tsa_certificates={tokens.fingerprint(CERTIFICATE)})
KINDS = ("p256", "p384", "rsa2048", "rsa3072")


def dump(payload: Payload) -> bytes:
    return json.dumps(payload).encode()


def octets(value: bytes) -> bytes:
    return writing.tlv(writing.OCTET_STRING, value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_with_the_certificate_it_is_tied(kind: str, digest: str) -> None:
    raw = dump(tokens.payload(Parts(kind=kind, digest=digest)))
    fingerprint = tokens.fingerprint(tokens.certificate(kind))
    established = verify_payload(raw, chains=ChainTrust(tsa_certificates={fingerprint}))
    assert established.tied
    assert established.timestamp_ms == TIME_MS
    found = established.token
    assert found is not None
    assert (found.serial, found.policy, found.accuracy_us) == (4242, "2.25.42", 1_500_000)
    assert (found.certificate, found.signature_checked, found.tied) == (fingerprint, True, True)


@pytest.mark.parametrize(
    ("second", "valid"), [(b"20260202024000", True), (b"20260202024001", False)]
)
def test_a_certificate_is_valid_to_the_end_of_its_last_second(second: bytes, valid: bool) -> None:
    signer = tokens.certificate(valid_until=tokens.AT)
    raw = dump(tokens.payload(Parts(signer=signer, time=second + b"Z")))
    trust = ChainTrust(tsa_certificates={tokens.fingerprint(signer)})
    if valid:
        assert verify_payload(raw, chains=trust).tied
    else:
        with pytest.raises(errors.RefusedError):
            verify_payload(raw, chains=trust)


@pytest.mark.parametrize("trust", [ChainTrust(), ChainTrust(tsa_certificates={bytes(32)})])
def test_without_it_says_what_remains(trust: ChainTrust) -> None:
    established = verify_payload(RAW, chains=trust)
    assert (established.tied, established.timestamp_ms) == (False, None)
    (remaining,) = established.remaining
    assert tokens.fingerprint(CERTIFICATE).hex() in remaining
    assert f"openssl ts -verify -digest {VALID['tree']['rootSha256']} -token_in" in remaining


@pytest.mark.parametrize(
    "parts",
    [
        Parts(kind="p521"),
        Parts(kind="rsa2048", signature_algorithm=writing.sequence(
            writing.object_identifier("1.2.840.113549.1.1.10"), writing.sequence()
        )),
    ],
)  # fmt: skip
def test_a_signature_of_another_kind_is_named_and_proves_nothing(parts: Parts) -> None:
    fingerprint = tokens.fingerprint(tokens.certificate(parts.kind))
    trust = ChainTrust(tsa_certificates={fingerprint})
    established = verify_payload(dump(tokens.payload(parts)), chains=trust)
    assert not established.tied
    assert established.token is not None
    assert not established.token.signature_checked
    assert "of none that this verifier checks" in established.remaining[0]


def v1(hashed: bytes) -> dict[str, tuple[bytes, ...] | None]:
    attribute = writing.sequence(writing.sequence(writing.sequence(octets(hashed))))
    return {SIGNING_CERTIFICATE_V2: None, SIGNING_CERTIFICATE: (attribute,)}


def v2(name: str, hashed: bytes) -> dict[str, tuple[bytes, ...] | None]:
    algorithm = writing.sequence(writing.object_identifier(OIDS[name]))
    attribute = writing.sequence(writing.sequence(writing.sequence(algorithm, octets(hashed))))
    return {SIGNING_CERTIFICATE_V2: (attribute,)}


DER = CERTIFICATE.public_bytes(Encoding.DER)
OTHERS = {
    "SHA-1 names the certificate": Parts(attributes=v1(sha1(DER).digest())),  # noqa: S324
    "SHA-512 names the certificate": Parts(attributes=v2("sha512", sha512(DER).digest())),
    "the signer by its key's identifier": Parts(identified=b"\x80\x04abcd"),
    "RSA without a digest of its own": Parts(
        kind="rsa2048",
        signature_algorithm=writing.sequence(
            writing.object_identifier("1.2.840.113549.1.1.1"), writing.tlv(writing.NULL)
        ),
    ),
    "no accuracy, no nonce": Parts(accuracy=b"", after=b""),
    "an extension that may be ignored": Parts(
        after=writing.tlv(
            0xA1,
            writing.sequence(writing.object_identifier("2.25.1"), octets(b"x")),
        )
    ),
    "ordering, nonce and a name": Parts(
        after=b"\x01\x01\xff" + writing.integer(5) + writing.explicit(0, b"\xa4\x02\x30\x00")
    ),
    "other certificates and an attribute certificate": Parts(
        certificates=(
            tokens.certificate("p384").public_bytes(Encoding.DER),
            b"\xa2\x02\x05\x00",
            DER,
        )
    ),
    "an attribute nobody knows": Parts(
        more_attributes=(
            writing.sequence(writing.object_identifier("2.25.2"), writing.set_of(b"\x05\x00")),
        )
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_else_authorities_write(case: str) -> None:
    parts = replace(OTHERS[case])
    fingerprint = tokens.fingerprint(tokens.certificate(parts.kind))
    trust = ChainTrust(tsa_certificates={fingerprint})
    assert verify_payload(dump(tokens.payload(parts)), chains=trust).tied


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        (b"20260202024000.5Z", 500),
        (b"20260202024000.001Z", 1),
        (b"20260202024000.0000001Z", 1),
        (b"20260202024000.123456Z", 124),
        (b"20260202024000.999999999Z", 1000),
    ],
)
def test_parts_of_a_millisecond_are_rounded_up(written: bytes, milliseconds: int) -> None:
    assert parse_token(Parts(time=written).encode()).info.time_ms == TIME_MS + milliseconds


def evidence(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["evidence"].update(members)


def tree(**members: object) -> Callable[[Payload], object]:
    return lambda payload: payload["tree"].update(members)


def made(**parts: Any) -> Callable[[Payload], object]:
    def change(payload: Payload) -> None:
        root = bytes.fromhex(payload["tree"]["rootSha256"])
        found = Parts(**({"root": root} | parts))
        payload["evidence"]["token"] = found.encode().hex()

    return change


def raw(change: Callable[[bytes], bytes]) -> Callable[[Payload], object]:
    return evidence(token=change(TOKEN).hex())


WEB = tokens.certificate("p256", (ExtendedKeyUsageOID.SERVER_AUTH,))
BOTH = tokens.certificate(
    "p256", (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH)
)
DIGEST = writing.object_identifier(MESSAGE_DIGEST)
FORGERIES: dict[str, tuple[type[RefusedError], Callable[[Payload], object]]] = {
    "no token": (errors.MemberError, evidence(token=None)),
    "empty token": (errors.HexError, evidence(token="")),
    "too long": (errors.HexError, evidence(token="30" * (MAX_TOKEN_BYTES + 1))),
    "cut": (errors.DerError, raw(lambda token: token[:-1])),
    "lengthened": (errors.DerError, raw(lambda token: token + b"\x00")),
    "indefinite length": (errors.DerError, raw(lambda token: b"\x30\x80" + token[4:])),
    "depth bomb": (errors.DerError, evidence(token="3080" * 8_000)),
    "length bomb": (errors.DerError, evidence(token="3083ffffff06")),
    "long tag": (errors.DerError, evidence(token="3f8101")),
    "an answer instead of its token": (
        errors.DerError,
        raw(lambda token: writing.sequence(writing.sequence(writing.integer(0)), token)),
    ),
    "other content": (errors.TokenFormatError, made(content_type="1.2.840.113549.1.7.1")),
    "two signers": (errors.TokenFormatError, made(signers=2)),
    "no signer": (errors.TokenFormatError, made(signers=0)),
    "version 2": (errors.TokenFormatError, made(version=2)),
    "negative serial number": (errors.TokenFormatError, made(serial=-1)),
    "serial number of 300 bits": (errors.TokenFormatError, made(serial=1 << 300)),
    "another root": (errors.TokenImprintError, made(root=sha256(b"x").digest())),
    "root with more behind it": (errors.TokenImprintError, made(root=bytes(33))),
    "root as another digest": (
        errors.TokenImprintError,
        made(imprint_oid=OIDS["sha512"]),
    ),
    "critical extension": (
        errors.TokenExtensionError,
        made(
            after=writing.tlv(
                0xA1,
                writing.sequence(
                    writing.object_identifier("2.25.1"), b"\x01\x01\xff", octets(b"x")
                ),
            )
        ),
    ),
    "something after the end": (errors.DerError, made(after=b"\x05\x00")),
    "accuracy below zero": (
        errors.TokenTimeError,
        made(accuracy=writing.sequence(writing.integer(-1))),
    ),
    "accuracy of 1000 ms": (
        errors.TokenTimeError,
        made(accuracy=writing.sequence(b"\x80\x02\x03\xe8")),
    ),
    "content type missing": (
        errors.TokenAttributeError,
        made(attributes={CONTENT_TYPE: None}),
    ),
    "content type of data": (
        errors.TokenAttributeError,
        made(attributes={CONTENT_TYPE: (writing.object_identifier("1.2.840.113549.1.7.1"),)}),
    ),
    "digest missing": (errors.TokenAttributeError, made(attributes={MESSAGE_DIGEST: None})),
    "digest of another TSTInfo": (
        errors.TokenDigestError,
        made(attributes={MESSAGE_DIGEST: (octets(bytes(32)),)}),
    ),
    "two digests in one attribute": (
        errors.TokenAttributeError,
        made(attributes={MESSAGE_DIGEST: (octets(bytes(32)), octets(bytes(31)))}),
    ),
    "digest attribute twice": (
        errors.TokenAttributeError,
        made(more_attributes=(writing.sequence(DIGEST, writing.set_of(octets(bytes(32)))),)),
    ),
    "SHA-1 as the signer's digest": (
        errors.TokenDigestError,
        made(digest_oid=OIDS["sha1"]),
    ),
    "signature with another digest": (
        errors.TokenFormatError,
        made(
            signature_algorithm=writing.sequence(
                writing.object_identifier("1.2.840.10045.4.3.4")
            )
        ),
    ),
    "certificate not named": (
        errors.TokenAttributeError,
        made(attributes={SIGNING_CERTIFICATE_V2: None}),
    ),
    "certificate missing": (errors.TokenCertificateError, made(certificates=())),
    "swapped certificate of the same key": (
        errors.TokenCertificateError,
        made(certificates=(BOTH.public_bytes(Encoding.DER),)),
    ),
    "another signer named": (
        errors.TokenCertificateError,
        made(
            identified=writing.sequence(CERTIFICATE.issuer.public_bytes(), writing.integer(8))
        ),
    ),
    "certificate of a web server": (errors.TokenCertificateError, made(signer=WEB)),
    "certificate for two purposes": (errors.TokenCertificateError, made(signer=BOTH)),
    "certificate for any purpose": (
        errors.TokenCertificateError,
        made(signer=tokens.certificate("p256", ())),
    ),
    "purpose not critical": (
        errors.TokenCertificateError,
        made(signer=tokens.certificate("p256", critical=False)),
    ),
    "certificate expired": (
        errors.TokenCertificateError,
        made(signer=tokens.certificate(valid_until=tokens.AT - timedelta(seconds=1))),
    ),
    "weak key": (errors.TokenKeyError, made(kind="rsa1024")),
    "RSA under an EC key": (
        errors.TokenKeyError,
        made(
            signature_algorithm=writing.sequence(
                writing.object_identifier("1.2.840.113549.1.1.11")
            )
        ),
    ),
    "ECDSA under an RSA key": (
        errors.TokenKeyError,
        made(
            kind="rsa2048",
            signature_algorithm=writing.sequence(
                writing.object_identifier("1.2.840.10045.4.3.2")
            ),
        ),
    ),
    "signed by another key": (
        errors.TokenSignatureError,
        made(kind="rsa2048", signed_by="rsa3072"),
    ),
    "signature of zeros": (
        errors.TokenSignatureError,
        made(signature=lambda _: writing.sequence(writing.integer(0), writing.integer(0))),
    ),
    "no signature": (errors.DerError, made(signature=lambda _: b"")),
    "signature with more behind it": (
        errors.DerError,
        made(signature=lambda signature: signature + b"\x00"),
    ),
    "other currency": (errors.CurrencyMismatchError, tree(currencyId=900, currency="LOG")),
    "other serial number": (errors.TransactionMismatchError, tree(transaction="4243")),
    "serial number spelled otherwise": (
        errors.TransactionMismatchError,
        tree(transaction="04242"),
    ),
    "other time": (errors.TimestampMismatchError, tree(timestamp=TIME_MS + 1)),
}  # fmt: skip
for _name, _time in {
    "local time": b"20260202024000",
    "offset": b"20260202024000+0000",
    "no seconds": b"202602020240Z",
    "trailing zero": b"20260202024000.50Z",
    "empty fraction": b"20260202024000.Z",
    "comma": b"20260202024000,5Z",
    "ten digits": b"20260202024000.1234567891Z",
    "30 February": b"20260230024000Z",
    "year 0": b"00000202024000Z",
    "digits of another script": "٢٠٢٦٠٢٠٢٠٢٤٠٠٠Z".encode(),
}.items():
    FORGERIES[f"time: {_name}"] = (errors.TokenTimeError, made(time=_time))


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_evidence_is_refused(attack: str) -> None:
    expected, change = FORGERIES[attack]
    payload = copy.deepcopy(VALID)
    change(payload)
    with pytest.raises(expected):
        verify_payload(dump(payload), chains=TRUST)


# Any damage


def no_more_than_established(raw: bytes) -> None:
    try:
        facts = verify_payload(raw, chains=TRUST)
    except RefusedError:
        return
    valid = verify_payload(RAW, chains=TRUST)
    if facts.tied:
        # s of an ECDSA signature has two values; nothing that is established hangs on which.
        assert replace(facts, claimed=valid.claimed) == valid
    else:
        assert facts.remaining


def with_token(token: bytes) -> bytes:
    return dump(VALID | {"evidence": VALID["evidence"] | {"token": token.hex()}})


@settings(max_examples=300)
@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 255))
def test_any_byte_altered(index: int, value: int) -> None:
    no_more_than_established(with_token(TOKEN[:index] + bytes([value]) + TOKEN[index + 1 :]))


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 12), st.binary(max_size=12))
def test_any_bytes_replaced(index: int, size: int, other: bytes) -> None:
    no_more_than_established(with_token(TOKEN[:index] + other + TOKEN[index + size :]))


@given(st.integers(1, len(TOKEN) - 1))
def test_any_truncation_is_refused(size: int) -> None:
    with pytest.raises(errors.DerError):
        verify_payload(with_token(TOKEN[:size]), chains=TRUST)


@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_no_token(token: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_token(token)
    with pytest.raises(RefusedError):
        parse_token(writing.sequence(token))


LARGEST = Parts(certificates=(DER, *(writing.sequence(bytes(400)) for _ in range(63))))


def test_work_is_bounded() -> None:
    """Lists have an end, and so has the whole."""
    crowded = (DER, *(writing.sequence(b"") for _ in range(64)))
    with pytest.raises(errors.DerError, match="over 64 items"):
        parse_token(Parts(certificates=crowded).encode())
    assert len(parse_token(LARGEST.encode()).others) == 63
    with pytest.raises(errors.TokenFormatError, match="over 32768 bytes"):
        parse_token(Parts(certificates=(DER, writing.sequence(bytes(MAX_TOKEN_BYTES)))).encode())


# DER


@given(st.integers(-(2**600), 2**600))
@example(127)
@example(128)
@example(-128)
@example(-129)
@example(-(2**599))
def test_integers(value: int) -> None:
    assert der.Reader(writing.integer(value), "it").integer() == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=4))
def test_identifiers(first: int, second: int, rest: list[int]) -> None:
    text = ".".join(map(str, (first, second, *rest)))
    assert der.Reader(writing.object_identifier(text), "it").identifier() == text


@given(st.binary(max_size=40))
def test_what_is_read_is_written_the_same(raw: bytes) -> None:
    reader = der.Reader(raw, "it")
    try:
        found = reader.value()
    except errors.DerError:
        return
    assert writing.tlv(found.tag, found.content) == found.raw == raw[: len(found.raw)]
    try:
        assert writing.integer(der.integer(found, "it"))[1:] == found.raw[1:]
    except errors.DerError:
        assert not found.content or len(found.content) > 1


@pytest.mark.parametrize("raw", ["", "02", "0200", "02020001", "0202ffff", "028101", "0201"])
def test_no_integers(raw: str) -> None:
    with pytest.raises(errors.DerError):
        der.Reader(bytes.fromhex(raw), "it").integer()


@pytest.mark.parametrize("raw", ["0600", "060180", "06028001", "060181", "0621" + "01" * 33])
def test_no_identifiers(raw: str) -> None:
    with pytest.raises(errors.DerError):
        der.Reader(bytes.fromhex(raw), "it").identifier()
