"""Tokens, as other people's programs read them."""

import hashlib
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerifierBuilder,
    decode_timestamp_response,
)
from tests.support.tsa import ACCURACY_MS, POLICY, generated, issuer, of_no_version

from proof.core.clock import SystemClock
from proof.timestamps.tsa.authority import AuthorityError, load_authority
from proof.timestamps.tsa.request import Failure, RejectedError, parse_request
from proof.timestamps.tsa.token import TokenIssuer, rejection

DATA = b"what existed then"
NOW = datetime.now(UTC).replace(microsecond=120_000)


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "ts", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )


def certificates() -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(generated().chain)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(DATA)
    ca = certificates()[-1].public_bytes(serialization.Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(ca)
    (tmp_path / "chain.pem").write_bytes(generated().chain)
    return tmp_path


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512", "sha3-256"])
@pytest.mark.parametrize("options", [(), ("-cert",), ("-no_nonce",), ("-tspolicy", POLICY)])
def test_openssl_verifies(folder: Path, digest: str, options: tuple[str, ...]) -> None:
    query = openssl(folder, "-query", "-data", "data", f"-{digest}", *options, "-out", "query")
    assert query.returncode == 0, query.stderr
    token = issuer().issue(parse_request((folder / "query").read_bytes()), NOW)
    (folder / "reply").write_bytes(token)
    untrusted = () if "-cert" in options else ("-untrusted", "chain.pem")
    check = ("-verify", "-in", "reply", "-CAfile", "ca.pem", *untrusted)
    assert "OK" in openssl(folder, *check, "-queryfile", "query").stdout
    assert "OK" in openssl(folder, *check, "-data", "data").stdout
    (folder / "data").write_bytes(DATA + b"!")
    assert openssl(folder, *check, "-data", "data").returncode != 0


def test_a_token_is_signed_data_of_version_3(folder: Path) -> None:
    """RFC 5652, 5.1: of that version is what holds content of a type of its own."""
    openssl(folder, "-query", "-data", "data", "-sha256", "-out", "query")
    token = issuer().issue(parse_request((folder / "query").read_bytes()), NOW)
    signed_data = bytes.fromhex("06092a864886f70d010702")
    explicit, inner = rb"\xa0\x82..", rb"\x30\x82.."
    version = re.escape(bytes.fromhex("020103"))
    assert re.search(re.escape(signed_data) + explicit + inner + version, token, re.DOTALL)


def test_openssl_reads_what_was_meant(folder: Path) -> None:
    openssl(folder, "-query", "-data", "data", "-sha256", "-out", "query")
    token = issuer().issue(parse_request((folder / "query").read_bytes()), NOW)
    (folder / "reply").write_bytes(token)
    text = openssl(folder, "-reply", "-in", "reply", "-text").stdout
    assert "Status: Granted." in text
    assert f"Policy OID: {POLICY}" in text
    assert f"{NOW:%b} {NOW.day:2} {NOW:%H:%M:%S}.12 {NOW.year} GMT" in text
    assert "0x01 seconds, 0x01F4 millis" in text, ACCURACY_MS


def test_a_client_written_elsewhere_verifies() -> None:
    query = TimestampRequestBuilder().data(DATA).nonce(nonce=True).cert_request(cert_request=True)
    request = query.hash_algorithm(HashAlgorithm.SHA512).build()
    answer = decode_timestamp_response(issuer().issue(parse_request(request.as_bytes()), NOW))
    signer, ca = certificates()
    assert request.nonce is not None
    verifier = (
        VerifierBuilder()
        .add_root_certificate(ca)
        .tsa_certificate(signer)
        .policy_id(x509.ObjectIdentifier(POLICY))
        .nonce(request.nonce)
        .build()
    )
    assert verifier.verify_message(answer, DATA)
    assert answer.tst_info.gen_time == NOW.replace(microsecond=0), "this client drops the fraction"
    assert answer.tst_info.nonce == request.nonce


def test_serial_numbers_differ() -> None:
    request = parse_request(TimestampRequestBuilder().data(DATA).build().as_bytes())
    answers = [decode_timestamp_response(issuer().issue(request, NOW)) for _ in range(20)]
    assert len({answer.tst_info.serial_number for answer in answers}) == 20


def test_another_policy_is_refused() -> None:
    request = parse_request(TimestampRequestBuilder().data(DATA).build().as_bytes())
    other = TokenIssuer(load_authority(generated().chain, generated().key, "1.2.3", 1))
    with_policy = type(request)(
        request.algorithm, request.digest, request.has_null, POLICY, request.nonce, True
    )
    with pytest.raises(RejectedError) as rejected:
        other.issue(with_policy, NOW)
    assert rejected.value.failure is Failure.UNACCEPTED_POLICY


def test_an_expired_certificate_signs_nothing() -> None:
    request = parse_request(TimestampRequestBuilder().data(DATA).build().as_bytes())
    with pytest.raises(RejectedError) as rejected:
        issuer().issue(request, certificates()[0].not_valid_after_utc)
    assert rejected.value.failure is Failure.SYSTEM_FAILURE


@pytest.mark.parametrize("failure", list(Failure))
def test_openssl_reads_a_rejection(folder: Path, failure: Failure) -> None:
    (folder / "reply").write_bytes(rejection(RejectedError(failure, "because of that")))
    text = openssl(folder, "-reply", "-in", "reply", "-text").stdout
    assert "Status: Rejected." in text
    assert "because of that" in text
    assert "Failure info: unspecified" not in text
    assert openssl(folder, "-verify", "-in", "reply", "-data", "data").returncode != 0


def signer_for(key: rsa.RSAPrivateKey, *, critical: bool = True) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RSA signer")])
    now = SystemClock().now()
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(purpose, critical=critical)
    )
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_rsa_verifies_too(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (folder / "rsa.pem").write_bytes(signer_for(key))
    authority = load_authority((folder / "rsa.pem").read_bytes(), pem(key), POLICY, ACCURACY_MS)
    openssl(folder, "-query", "-data", "data", "-sha256", "-cert", "-out", "query")
    answer = TokenIssuer(authority).issue(parse_request((folder / "query").read_bytes()), NOW)
    (folder / "reply").write_bytes(answer)
    shown = openssl(folder, "-verify", "-in", "reply", "-data", "data", "-CAfile", "rsa.pem")
    assert "OK" in shown.stdout, shown.stderr


def test_certificates_that_may_not_sign_are_refused() -> None:
    strong, weak = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
    cases = [
        (signer_for(strong, critical=False), pem(strong), "marked critical"),
        (signer_for(strong), pem(weak), "2048 bits"),
        (generated().chain, pem(strong), "not the one"),
        (b"nothing", pem(strong), "certificate or key"),
        (of_no_version(generated().chain), pem(strong), "certificate or key: 64 is not"),
        (signer_for(strong), b"nothing", "certificate or key"),
    ]
    for chain, key, message in cases:
        with pytest.raises(AuthorityError, match=message):
            load_authority(chain, key, POLICY, ACCURACY_MS)
    with pytest.raises(AuthorityError, match="not an object identifier"):
        load_authority(generated().chain, generated().key, "9.9.9", ACCURACY_MS)


def test_the_imprint_is_the_digest_that_was_sent() -> None:
    request = TimestampRequestBuilder().data(DATA).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = decode_timestamp_response(issuer().issue(parse_request(request.as_bytes()), NOW))
    assert answer.tst_info.message_imprint.message == hashlib.sha256(DATA).digest()
