"""Reading an RFC 3161 token: CMS signed data (RFC 5652) of one signer over a TSTInfo.

What is in here is arithmetic about the token itself. Whose certificate it is, is the caller's question.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proof.verify.errors import (
    DerError,
    TokenAttributeError,
    TokenCertificateError,
    TokenDigestError,
    TokenExtensionError,
    TokenFormatError,
    TokenTimeError,
)
from proof.verify.evidence.rfc3161 import der
from proof.verify.evidence.rfc3161.certificate import (
    Certificate,
    generalized_time_ms,
    parse_certificate,
)
from proof.verify.evidence.rfc3161.der import Reader, Value

MAX_TOKEN_BYTES: Final = 32 * 1024
"""Tokens take 1 to 8 KiB, most of them certificates."""


SHA2: Final = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"

_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"

_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"

_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"

_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"

_SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"

_CONTEXT: Final = (0xA0, 0xA1)

_NAME: Final = "the token"

_TST: Final = "the token's TSTInfo"

_SIGNER: Final = "the token's signer"

_SERIAL_BITS: Final = 256

_TRUE: Final = b"\xff"

_NULL: Final = b"\x05\x00"


@dataclass(frozen=True, slots=True)
class TstInfo:
    """What the authority says. `imprint_algorithm` is an object identifier. `time_ms`: since 1970 UTC,
    rounded up; `accuracy_us`: how far it may be off, None when that is not said."""

    policy: str
    imprint_algorithm: str
    imprint: bytes
    serial: int
    time_ms: int
    accuracy_us: int | None
    nonce: int | None


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose digests are right. Its signature is over `signed`, made with `digest_name`
    (hashlib's) and `signature_algorithm` (an object identifier). `others`: the certificates beside the
    signer's, as they stand."""

    info: TstInfo
    signed: bytes
    digest_name: str
    signature_algorithm: str
    signature: bytes
    certificate: Certificate
    others: tuple[bytes, ...]


def parse_token(raw: bytes) -> Token:
    """Read a DER-encoded token (ContentInfo) and check its digests.

    The signed attributes hold once each: the content's type, the digest of the TSTInfo, and the hash of
    the certificate that signs (RFC 5816, or RFC 2634 with SHA-1), which is in the token, is for
    time-stamping alone and was valid at the token's time.

    Raises DerError, TokenFormatError, TokenTimeError, TokenExtensionError, TokenAttributeError,
    TokenDigestError, TokenCertificateError. Not checked: the signature, unsigned attributes, revocation
    lists.
    """
    if len(raw) > MAX_TOKEN_BYTES:
        raise TokenFormatError(f"the token is over {MAX_TOKEN_BYTES} bytes")
    signed_data = _signed_data(raw)
    signed_data.integer()
    signed_data.of(der.SET)
    content = _content(signed_data.inside(der.SEQUENCE))
    held = signed_data.maybe(_CONTEXT[0])
    signed_data.maybe(_CONTEXT[1])
    signers = signed_data.inside(der.SET).all()
    signed_data.end()
    if len(signers) != 1 or signers[0].tag != der.SEQUENCE:
        raise TokenFormatError("the token has not exactly one signer")
    certificates = [] if held is None else Reader(held.content, _NAME).all()
    info = _tst_info(content)
    return _signed(
        info, content, signers[0], [each.raw for each in certificates if each.tag == der.SEQUENCE]
    )


def _signed_data(raw: bytes) -> Reader:
    outer = der.only(raw, der.SEQUENCE, _NAME)
    _require_type(outer, _SIGNED_DATA, "signed data")
    inner = outer.of(_CONTEXT[0])
    outer.end()
    return der.only(inner.content, der.SEQUENCE, _NAME)


def _content(encapsulated: Reader) -> bytes:
    _require_type(encapsulated, _TST_INFO, "a TSTInfo")
    inner = encapsulated.inside(_CONTEXT[0])
    encapsulated.end()
    content = inner.of(der.OCTET_STRING).content
    inner.end()
    return content


def _require_type(reader: Reader, wanted: str, said: str) -> None:
    found = reader.identifier()
    if found != wanted:
        raise TokenFormatError(f"the token holds content of type {found}, not {said}")


def _tst_info(content: bytes) -> TstInfo:
    """RFC 3161, 2.4.2."""
    reader = der.only(content, der.SEQUENCE, _TST)
    if (version := reader.integer()) != 1:
        raise TokenFormatError(f"the token's TSTInfo is of version {version}, not 1")
    policy = reader.identifier()
    imprint = reader.inside(der.SEQUENCE)
    algorithm = _algorithm(imprint.inside(der.SEQUENCE))
    hashed = imprint.of(der.OCTET_STRING).content
    imprint.end()
    serial = reader.integer()
    if not 0 <= serial < 1 << _SERIAL_BITS:
        raise TokenFormatError("the token's serial number is negative or too large")
    time_ms = generalized_time_ms(reader.of(der.GENERALIZED_TIME).content, "the token's time")
    accuracy = reader.maybe(der.SEQUENCE)
    reader.maybe(der.BOOLEAN)
    nonce = reader.maybe(der.INTEGER)
    reader.maybe(_CONTEXT[0])
    _require_no_critical(reader.maybe(_CONTEXT[1]))
    reader.end()
    return TstInfo(
        policy,
        algorithm,
        hashed,
        serial,
        time_ms,
        None if accuracy is None else _accuracy_us(Reader(accuracy.content, _TST)),
        None if nonce is None else der.integer(nonce, _TST),
    )


def _accuracy_us(reader: Reader) -> int:
    parts = []
    for tag, unit, limit in ((der.INTEGER, 10**6, 10**9), (0x80, 1000, 1000), (0x81, 1, 1000)):
        found = reader.maybe(tag)
        number = 0 if found is None else der.integer(found, _TST)
        if not 0 <= number < limit:
            raise TokenTimeError("the token's accuracy is negative or too large")
        parts.append(number * unit)
    reader.end()
    return sum(parts)


def _require_no_critical(extensions: Value | None) -> None:
    for each in [] if extensions is None else Reader(extensions.content, _TST).all():
        extension = Reader(each.content, _TST)
        name = extension.identifier()
        critical = extension.maybe(der.BOOLEAN)
        if critical is not None and critical.content == _TRUE:
            raise TokenExtensionError(f"the token has the critical extension {name}")


def _signed(info: TstInfo, content: bytes, signer: Value, certificates: list[bytes]) -> Token:
    """RFC 5652, 5.3."""
    reader = Reader(signer.content, _SIGNER)
    reader.integer()
    identified = reader.value()
    digest_oid = _algorithm(reader.inside(der.SEQUENCE))
    attributes = reader.of(_CONTEXT[0])
    signature_algorithm = _algorithm(reader.inside(der.SEQUENCE), parameters=True)
    signature = reader.of(der.OCTET_STRING).content
    reader.maybe(_CONTEXT[1])
    reader.end()
    digest_name = SHA2.get(digest_oid)
    if digest_name is None:
        raise TokenDigestError(f"the token is signed with the digest {digest_oid}, none of SHA-2")
    known = _attributes(attributes)
    _check_attributes(known, hashlib.new(digest_name, content).digest())
    raw = _named(known, certificates)
    certificate = parse_certificate(raw)
    _check_certificate(certificate, identified, info)
    return Token(
        info,
        # The signature is over the SET; in the message the same octets have an implicit tag.
        bytes((der.SET,)) + attributes.raw[1:],
        digest_name,
        signature_algorithm,
        signature,
        certificate,
        tuple(each for each in certificates if each != raw),
    )


def _algorithm(reader: Reader, *, parameters: bool = False) -> str:
    """The name in an AlgorithmIdentifier's contents; a digest's parameters are absent or NULL (RFC 5754,
    2)."""
    name = reader.identifier()
    if not reader.at_end and reader.value().raw != _NULL and not parameters:
        raise DerError(f"{_NAME} has a digest with parameters")
    reader.end()
    return name


def _attributes(held: Value) -> dict[str, Value]:
    """The signed attributes by type, each with its one value."""
    found: dict[str, Value] = {}
    for each in Reader(held.content, _SIGNER).all():
        attribute = Reader(each.content, _SIGNER)
        name = attribute.identifier()
        values = attribute.inside(der.SET).all()
        attribute.end()
        if name in found or len(values) != 1:
            raise TokenAttributeError(f"the signed attribute {name} has not exactly one value")
        found[name] = values[0]
    return found


def _check_attributes(known: Mapping[str, Value], digest: bytes) -> None:
    kind, signed = known.get(_CONTENT_TYPE), known.get(_MESSAGE_DIGEST)
    if kind is None or kind.tag != der.OID or der.identifier(kind, _SIGNER) != _TST_INFO:
        raise TokenAttributeError("the signed content type is not that of a TSTInfo")
    if signed is None or signed.tag != der.OCTET_STRING:
        raise TokenAttributeError("the digest of the TSTInfo is not among the signed attributes")
    if signed.content != digest:
        raise TokenDigestError("the signed digest is that of another TSTInfo")


def _named(known: Mapping[str, Value], certificates: Iterable[bytes]) -> bytes:
    """The certificate whose hash is signed: RFC 5816, 4, or RFC 2634, 5.4."""
    attribute, name = known.get(_SIGNING_CERTIFICATE_V2), "sha256"
    if attribute is None:
        attribute, name = known.get(_SIGNING_CERTIFICATE), "sha1"
    if attribute is None or attribute.tag != der.SEQUENCE:
        raise TokenAttributeError("the signer's certificate is not among the signed attributes")
    first = Reader(attribute.content, _SIGNER).inside(der.SEQUENCE).inside(der.SEQUENCE)
    other = first.maybe(der.SEQUENCE) if name == "sha256" else None
    if other is not None:
        name = SHA2.get(_algorithm(Reader(other.content, _SIGNER)), "")
    wanted = first.of(der.OCTET_STRING).content
    for raw in certificates if name else ():
        if hashlib.new(name, raw, usedforsecurity=False).digest() == wanted:
            return raw
    raise TokenCertificateError("the token does not hold the certificate that it is signed with")


def _check_certificate(certificate: Certificate, identified: Value, info: TstInfo) -> None:
    # A key identifier, [0], says nothing that the signed hash has not said better.
    if identified.tag == der.SEQUENCE:
        reader = Reader(identified.content, _SIGNER)
        named = reader.of(der.SEQUENCE).raw, reader.integer()
        if named != (certificate.issuer, certificate.serial):
            raise TokenCertificateError("the token names another certificate as its signer's")
    elif identified.tag != 0x80:
        raise TokenFormatError("the token's signer is not identified")
    # The certificate's last second belongs to it as a whole.
    if not certificate.first_ms <= info.time_ms < certificate.last_ms + 1000:
        raise TokenCertificateError("the signer's certificate was not valid at the token's time")
