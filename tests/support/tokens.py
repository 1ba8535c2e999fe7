"""RFC 3161 tokens put together part by part, so that each part can be wrong; certificates likewise."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from tests.support.signer import branch

from proof.timestamps.tsa import der

Payload = dict[str, Any]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
AT = datetime(2026, 2, 2, 2, 40, tzinfo=UTC)
TIME_MS = 1_770_000_000_000
ROOT = bytes(range(32))
OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_ECDSA = {"sha256": 2, "sha384": 3, "sha512": 4}
_RSA = {"sha256": 11, "sha384": 12, "sha512": 13}
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
TST_INFO = "1.2.840.113549.1.9.16.1.4"


@cache
def key(kind: str = "p256") -> Key:
    """Keys that every test of this process shares: p256, p384, p521, rsa2048, rsa3072, rsa1024."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    curves: Mapping[str, ec.EllipticCurve] = {
        "p256": ec.SECP256R1(),
        "p384": ec.SECP384R1(),
        "p521": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[kind])


def certificate(
    kind: str = "p256",
    purposes: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    *,
    critical: bool = True,
    valid_until: datetime = AT + timedelta(days=1),
) -> x509.Certificate:
    """A certificate that signed itself, by default one that may sign tokens; the same one each time."""
    return _certificate(kind, purposes, critical, valid_until)


@cache
def _certificate(
    kind: str, purposes: tuple[ObjectIdentifier, ...], critical: bool, valid_until: datetime
) -> x509.Certificate:
    signing = key(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority {kind}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signing.public_key())
        .serial_number(7)
        .not_valid_before(AT - timedelta(days=9000))
        .not_valid_after(valid_until)
    )
    if purposes:
        usage = x509.ExtendedKeyUsage(purposes)
        builder = builder.add_extension(usage, critical=critical)
    return builder.sign(signing, hashes.SHA256())


def fingerprint(made: x509.Certificate) -> bytes:
    return hashlib.sha256(made.public_bytes(Encoding.DER)).digest()


@dataclass
class Parts:
    """A token's parts; change one and `encode`."""

    root: bytes = ROOT
    kind: str = "p256"
    digest: str = "sha256"
    signer: x509.Certificate | None = None
    time: bytes = b"20260202024000Z"
    serial: int = 4242
    version: int = 1
    imprint_oid: str = OIDS["sha256"]
    accuracy: bytes = der.sequence(der.integer(1), b"\x80\x02\x01\xf4")
    after: bytes = der.integer(99)
    attributes: dict[str, tuple[bytes, ...] | None] = field(default_factory=dict)
    more_attributes: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] | None = None
    identified: bytes | None = None
    digest_oid: str | None = None
    signature_algorithm: bytes | None = None
    signed_by: str | None = None
    signature: Callable[[bytes], bytes] = bytes
    signers: int = 1
    content_type: str = TST_INFO

    def encode(self) -> bytes:
        """The DER-encoded ContentInfo."""
        oid, made = der.object_identifier, self.signer or certificate(self.kind)
        content = self._content()
        digest = der.sequence(oid(self.digest_oid or OIDS[self.digest]))
        attributes = der.set_of(*self._attributes(content, made))
        issuer = der.sequence(made.issuer.public_bytes(), der.integer(made.serial_number))
        signer = der.sequence(
            der.integer(1),
            self.identified or issuer,
            digest,
            b"\xa0" + attributes[1:],
            self.signature_algorithm or self._algorithm(),
            _octets(self.signature(self._sign(attributes))),
        )
        held = (
            (made.public_bytes(Encoding.DER),) if self.certificates is None else self.certificates
        )
        signed_data = der.sequence(
            der.integer(3),
            der.set_of(digest),
            der.sequence(oid(self.content_type), der.explicit(0, _octets(content))),
            der.tlv(0xA0, *held),
            der.set_of(*[signer] * self.signers),
        )
        return der.sequence(oid("1.2.840.113549.1.7.2"), der.explicit(0, signed_data))

    def _content(self) -> bytes:
        oid = der.object_identifier
        imprint = der.sequence(der.sequence(oid(self.imprint_oid)), _octets(self.root))
        time = der.tlv(der.GENERALIZED_TIME, self.time)
        return der.sequence(
            der.integer(self.version),
            oid("2.25.42"),
            imprint,
            der.integer(self.serial),
            time,
            self.accuracy,
            self.after,
        )

    def _attributes(self, content: bytes, made: x509.Certificate) -> list[bytes]:
        hashed = der.sequence(der.sequence(der.sequence(_octets(fingerprint(made)))))
        values: dict[str, tuple[bytes, ...] | None] = {
            CONTENT_TYPE: (der.object_identifier(TST_INFO),),
            MESSAGE_DIGEST: (_octets(hashlib.new(self.digest, content).digest()),),
            SIGNING_CERTIFICATE_V2: (hashed,),
        } | self.attributes
        found = [
            der.sequence(der.object_identifier(name), der.set_of(*held))
            for name, held in values.items()
            if held is not None
        ]
        return [*found, *self.more_attributes]

    def _algorithm(self) -> bytes:
        if self.kind.startswith("rsa"):
            name = f"1.2.840.113549.1.1.{_RSA[self.digest]}"
            return der.sequence(der.object_identifier(name), der.tlv(der.NULL))
        return der.sequence(der.object_identifier(f"1.2.840.10045.4.3.{_ECDSA[self.digest]}"))

    def _sign(self, message: bytes) -> bytes:
        signing = key(self.signed_by or self.kind)
        if isinstance(signing, rsa.RSAPrivateKey):
            return signing.sign(message, padding.PKCS1v15(), _HASHES[self.digest])
        return signing.sign(message, ec.ECDSA(_HASHES[self.digest]))


def payload(parts: Parts | None = None) -> Payload:
    """A whole payload with `rfc3161` evidence, over the root of a tree of five leaves."""
    leaves = sorted(hashlib.sha256(str(n).encode()).hexdigest() for n in range(5))
    node = branch(leaves, 2)
    parts = parts or Parts()
    if parts.root == ROOT:
        parts.root = bytes.fromhex(node["sha256"])
    return {
        "sha256": leaves[2],
        "tree": {
            "treeId": "eada2ff6-dc26-4c50-ba47-b5865d1ca6bd",
            "currencyId": 901,
            "currency": "TSA",
            "submitStatus": 3,
            "timestamp": TIME_MS,
            "rootSha256": node["sha256"],
            "transaction": str(parts.serial),
        },
        "branch": node,
        "evidence": {"type": "rfc3161", "token": parts.encode().hex()},
    }


def _octets(value: bytes) -> bytes:
    return der.tlv(der.OCTET_STRING, value)
