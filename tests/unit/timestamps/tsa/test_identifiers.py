"""Object identifiers in what we write as DER: each part fits the 31 bits that Go's parser holds."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from rfc3161_client import TimestampRequestBuilder
from tests.support.tsa import generated

from proof.config import SettingsError, load_settings
from proof.main.parts.tsa import prepare_tsa
from proof.timestamps.anchors.tsa.wire import Query
from proof.timestamps.tsa import der
from proof.timestamps.tsa.authority import MAX_ARC, PolicyError, load_authority
from proof.timestamps.tsa.request import Failure, RejectedError, parse_request
from proof.timestamps.tsa.token import TokenIssuer, rejection

NOW = datetime.now(UTC)
_CONSTRUCTED = 0x20
_PRIMITIVES_THAT_NEST = {der.OCTET_STRING, der.BIT_STRING}


def arcs(raw: bytes) -> Iterator[tuple[int, ...]]:
    """The numbers of each OBJECT IDENTIFIER anywhere in DER, the first two arcs as the one they share; also
    in strings whose content is DER."""
    while raw:
        tag, content, raw = _element(raw)
        if tag == der.OID:
            yield tuple(_numbers(content))
        elif tag & _CONSTRUCTED:
            yield from arcs(content)
        elif tag in _PRIMITIVES_THAT_NEST:
            inner = content[1:] if tag == der.BIT_STRING else content
            with suppress(IndexError, ValueError):
                yield from tuple(arcs(inner))


def _element(raw: bytes) -> tuple[int, bytes, bytes]:
    tag, length, at = raw[0], raw[1], 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a long tag")
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(raw[2 : 2 + count], "big"), 2 + count
    if not 0 <= at + length <= len(raw):
        raise ValueError("cut off")
    return tag, raw[at : at + length], raw[at + length :]


def _numbers(content: bytes) -> Iterator[int]:
    number = 0
    for octet in content:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            yield number
            number = 0


def default_policy() -> str:
    return load_settings({}).tsa_policy


def everything(policy: str) -> Iterator[tuple[str, bytes]]:
    """What we write as DER: tokens, refusals, requests to others, certificates and keys."""
    authority = load_authority(generated().chain, generated().key, policy, 1000)
    issuer = TokenIssuer(authority)
    for certificates in (False, True):
        query = TimestampRequestBuilder().data(b"x").cert_request(cert_request=certificates).build()
        yield "token", issuer.issue(parse_request(query.as_bytes()), NOW)
    yield "refusal", rejection(RejectedError(Failure.BAD_ALG, "no"))
    yield "query", Query(bytes(32), 7, policy).encode()
    for certificate in authority.chain:
        yield "certificate", certificate
    key = serialization.load_pem_private_key(generated().key, None)
    form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    yield "key", key.private_bytes(*form, serialization.NoEncryption())


def test_the_walk_finds_identifiers_wherever_they_stand() -> None:
    great = der.object_identifier("2.25.165443921098372610475123954071862354117")
    small = der.object_identifier("1.2.840.113549.1.1.11")
    nested = der.sequence(der.tlv(der.OCTET_STRING, der.sequence(great)), der.explicit(0, small))
    assert [max(arc) for arc in arcs(nested)] == [165443921098372610475123954071862354117, 113549]


def test_every_identifier_we_write_is_read_by_everybody() -> None:
    found = {name: list(arcs(raw)) for name, raw in everything(default_policy())}
    assert all(found[name] for name in ("token", "query", "certificate", "key"))
    policy = tuple(_numbers(_element(der.object_identifier(default_policy()))[1]))
    assert policy in found["token"]
    assert max(max(item) for each in found.values() for item in each) <= MAX_ARC


@pytest.mark.parametrize("policy", ["2.25.2147483648", "2.2147483568", "1.2.99999999999.1"])
def test_a_policy_that_some_cannot_read_is_refused(policy: str) -> None:
    with pytest.raises(PolicyError, match="above 2147483647"):
        load_authority(generated().chain, generated().key, policy, 1000)


@pytest.mark.parametrize("policy", ["2.25.2147483647", "2.2147483567", "0.4.0.2023.1.1", "1.2"])
def test_any_other_policy_stands_in_tokens(policy: str) -> None:
    assert all(max(arc) <= MAX_ARC for _, raw in everything(policy) for arc in arcs(raw))


@pytest.mark.parametrize("policy", ["", "x", "1", "3.1", "1.40", "2.25.4294967296"])
def test_the_setting_is_named(tmp_path: Path, policy: str) -> None:
    settings = {"PROOF_DATA_DIR": str(tmp_path), "PROOF_TSA_ENABLED": "true"}
    with pytest.raises(SettingsError, match="setting tsa_policy: "):
        prepare_tsa(load_settings(settings | {"PROOF_TSA_POLICY": policy}))
