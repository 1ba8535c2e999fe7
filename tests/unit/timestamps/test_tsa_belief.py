"""Which tokens of an authority are believed: kinds of keys, certificates between, any damage."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support import tokens
from tests.support.chain_suite import ROOTS
from tests.support.tokens import Parts
from tests.support.tsa_lab import granted, ours

from proof.timestamps.anchors.chain import ChainError
from proof.timestamps.anchors.tsa.belief import (
    Trust,
    UntrustedAuthorityError,
    WrongTokenError,
    believe,
)
from proof.timestamps.anchors.tsa.wire import Query, read_answer
from proof.timestamps.tsa import der

QUERY = Query(ROOTS.root, 99, None)
NOW = tokens.AT


def trusting(kind: str) -> Trust:
    return Trust([tokens.certificate(kind)])


def test_a_signature_that_proofs_cannot_show_is_refused() -> None:
    raw = Parts(kind="p521").encode()
    with pytest.raises(WrongTokenError, match="an algorithm that proofs cannot show"):
        believe(raw, QUERY, trusting("p521"), NOW)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "rsa3072"])
def test_tokens_of_other_kinds_of_keys(kind: str) -> None:
    raw = Parts(kind=kind, digest="sha512").encode()
    assert believe(raw, QUERY, trusting(kind), NOW).info.serial == 4242
    with pytest.raises(UntrustedAuthorityError):
        believe(raw, QUERY, trusting("p256" if kind != "p256" else "p384"), NOW)
    assert believe(raw, QUERY, Trust(None), NOW).info.serial == 4242


ASKED = Query(ROOTS.root, 7, None)
ANSWER = granted(ASKED.encode())[1]
ANSWERED = datetime.now(UTC)
# The field `version` as every certificate begins with it.
VERSION_3 = bytes.fromhex("a003020102")


def issued(
    kind: str,
    issuer_kind: str,
    *,
    authority: bool | None,
    signs: bool = True,
    purpose: bool = False,
) -> x509.Certificate:
    """A certificate named after its key, signed by another's."""
    subject, issuer = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (kind, issuer_kind)
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(tokens.key(kind).public_key())
        .serial_number(9)
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(NOW + timedelta(days=2))
    )
    if authority is not None:
        constraints = x509.BasicConstraints(authority, None)
        usage = x509.KeyUsage(not signs, False, False, False, False, signs, False, False, False)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(usage, critical=True)
    if purpose:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usages, critical=True)
    return builder.sign(tokens.key(issuer_kind), hashes.SHA256())


BETWEEN: dict[str, tuple[bool | None, bool]] = {
    "a CA": (True, True),
    "a customer of the CA": (False, True),
    "a CA that may not sign": (True, False),
    "a certificate that does not say": (None, True),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_only_authorities_may_stand_between(between: str) -> None:
    root = issued("rsa2048", "rsa2048", authority=True)
    is_authority, signs = BETWEEN[between]
    middle = issued("p384", "rsa2048", authority=is_authority, signs=signs)
    signer = issued("p256", "p384", authority=None, purpose=True)
    encoded = [each.public_bytes(serialization.Encoding.DER) for each in (signer, middle)]
    raw = Parts(signer=signer, certificates=tuple(encoded)).encode()
    if between == "a CA":
        assert believe(raw, QUERY, Trust([root]), NOW).info.serial == 4242
    else:
        with pytest.raises(UntrustedAuthorityError):
            believe(raw, QUERY, Trust([root]), NOW)
    with pytest.raises(UntrustedAuthorityError):
        believe(
            Parts(signer=signer, certificates=(encoded[0],)).encode(), QUERY, Trust([root]), NOW
        )


def test_a_certificate_on_the_way_with_a_forbidden_number() -> None:
    root = issued("rsa2048", "rsa2048", authority=True)
    signer = issued("p256", "rsa2048", authority=None, purpose=True)
    encoded = [each.public_bytes(serialization.Encoding.DER) for each in (signer, root)]
    number = der.integer(root.serial_number)
    below_zero = number[:2] + b"\x80" + number[3:]
    for used, said in ((number, None), (below_zero, "serial number")):
        others = (encoded[0], encoded[1].replace(number, used, 1))
        raw = Parts(signer=signer, certificates=others).encode()
        if said is None:
            assert believe(raw, QUERY, Trust([root]), NOW).info.serial == 4242
            continue
        with pytest.raises(WrongTokenError, match=said):
            believe(raw, QUERY, Trust([root]), NOW)


@settings(max_examples=200)
@given(st.integers(0, len(ANSWER) - 1), st.booleans(), st.integers(1, 255))
# A certificate of a version that does not exist.
@example(ANSWER.index(VERSION_3) + len(VERSION_3) - 1, False, 0x40)
@example(ANSWER.rindex(VERSION_3) + len(VERSION_3) - 1, False, 0x40)
def test_any_damage_to_an_answer_is_refused(index: int, cut: bool, other: int) -> None:
    rest = b"" if cut else bytes([ANSWER[index] ^ other]) + ANSWER[index + 1 :]
    try:
        found = believe(read_answer(ANSWER[:index] + rest), ASKED, ours(), ANSWERED)
    except ChainError:
        return
    # The status may be granted with modifications, and a CA's certificate that is in the store already
    # need not be intact; what is signed is.
    assert not cut
    assert found.info.imprint == ROOTS.root
