"""What a token's check needs of its signer's certificate (RFC 5280, 4.1).

Not checked: the certificate's own signature, its issuer, revocation, and every extension but the extended
key usage. Whoever trusts a certificate by its SHA-256 needs none of these.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from proof.verify.errors import DerError, TokenCertificateError, TokenTimeError
from proof.verify.evidence.rfc3161 import der
from proof.verify.evidence.rfc3161.der import Reader

MAX_FRACTION_DIGITS: Final = 9

_NAME: Final = "the signer's certificate"

_TIME_STAMPING: Final = "1.3.6.1.5.5.7.3.8"

_EXTENDED_KEY_USAGE: Final = "2.5.29.37"

_VERSION_TAG: Final = 0xA0

_EXTENSIONS_TAG: Final = 0xA3

_TRUE: Final = b"\xff"

_UTC_TIME_PIVOT: Final = 50  # RFC 5280, 4.1.2.5.1: years from 50 on are of the last century

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`algorithm` and `curve` are object identifiers; `bits` the BIT STRING's octets."""

    algorithm: str
    curve: str | None
    bits: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """`raw`: all of it, as DER; `sha256`: of that. `issuer`: the encoded name. Times in milliseconds
    since 1970 UTC, the last one included."""

    raw: bytes
    sha256: bytes
    serial: int
    issuer: bytes
    first_ms: int
    last_ms: int
    key: PublicKey


def parse_certificate(raw: bytes) -> Certificate:
    """A certificate that may sign tokens. Raises DerError, TokenTimeError, TokenCertificateError."""
    outer = der.only(raw, der.SEQUENCE, _NAME)
    inner = outer.inside(der.SEQUENCE)
    outer.of(der.SEQUENCE)
    outer.of(der.BIT_STRING)
    outer.end()
    inner.maybe(_VERSION_TAG)
    serial = inner.integer()
    inner.of(der.SEQUENCE)
    issuer = inner.of(der.SEQUENCE).raw
    validity = inner.inside(der.SEQUENCE)
    first_ms, last_ms = _moment(validity), _moment(validity)
    validity.end()
    inner.of(der.SEQUENCE)
    key = _public_key(inner.inside(der.SEQUENCE))
    _require_purpose(inner)
    return Certificate(raw, sha256(raw).digest(), serial, issuer, first_ms, last_ms, key)


def generalized_time_ms(text: bytes, name: str) -> int:
    """A DER GeneralizedTime (X.690, 11.7) in milliseconds since 1970 UTC; parts of one are rounded up,
    so that it is never before the time that stands there. Raises TokenTimeError."""
    whole, dot, fraction = text.removesuffix(b"Z").partition(b".")
    shaped = text.endswith(b"Z") and len(whole) == 14 and whole.isdigit()
    if dot:
        shaped &= 0 < len(fraction) <= MAX_FRACTION_DIGITS and fraction.isdigit()
        shaped &= not fraction.endswith(b"0")
    if not shaped:
        raise TokenTimeError(f"{name} is not a GeneralizedTime in UTC")
    parts = [int(whole[:4]), *(int(whole[at : at + 2]) for at in range(4, 14, 2))]
    unit: int = 10 ** len(fraction)
    return _milliseconds(parts, name) + -(-int(fraction or b"0") * 1000 // unit)


def _moment(validity: Reader) -> int:
    found = validity.value()
    if found.tag == der.GENERALIZED_TIME:
        return generalized_time_ms(found.content, f"a time of {_NAME}")
    text = found.content
    if found.tag != der.UTC_TIME or len(text) != 13 or not text[:12].isdigit() or text[12:] != b"Z":
        raise TokenTimeError(f"a time of {_NAME} is neither UTCTime nor GeneralizedTime")
    century = 1900 if int(text[:2]) >= _UTC_TIME_PIVOT else 2000
    parts = [century + int(text[:2]), *(int(text[at : at + 2]) for at in range(2, 12, 2))]
    return _milliseconds(parts, f"a time of {_NAME}")


def _milliseconds(parts: list[int], name: str) -> int:
    year, month, day, hour, minute, second = parts
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise TokenTimeError(f"{name} names a moment that no calendar has") from None
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000


def _public_key(reader: Reader) -> PublicKey:
    algorithm = reader.inside(der.SEQUENCE)
    name = algorithm.identifier()
    parameters = None if algorithm.at_end else algorithm.value()
    algorithm.end()
    curve = None
    if parameters is not None and parameters.tag == der.OID:
        curve = der.identifier(parameters, _NAME)
    bits = reader.of(der.BIT_STRING).content
    reader.end()
    if bits[:1] != b"\x00":
        raise DerError(f"{_NAME} has a key that is no whole number of octets")
    return PublicKey(name, curve, bits[1:])


def _require_purpose(inner: Reader) -> None:
    """RFC 3161, 2.3: the extended key usage is timeStamping alone, and critical."""
    purposes: list[str] = []
    for value in inner.all():
        if value.tag == _EXTENSIONS_TAG:
            for extension in der.only(value.content, der.SEQUENCE, _NAME).all():
                purposes += _purposes(Reader(extension.content, _NAME))
    if purposes != [_TIME_STAMPING]:
        raise TokenCertificateError(
            f"{_NAME} is not for time-stamping alone, as a critical extension must say"
        )


def _purposes(extension: Reader) -> list[str]:
    name = extension.identifier()
    critical = extension.maybe(der.BOOLEAN)
    held = extension.of(der.OCTET_STRING).content
    extension.end()
    if name != _EXTENDED_KEY_USAGE or critical is None or critical.content != _TRUE:
        return []
    return [der.identifier(each, _NAME) for each in der.only(held, der.SEQUENCE, _NAME).all()]
