"""A certification authority of one's own, for development: nobody else trusts it."""

from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=3650)
# For whoever verifies with a clock that is behind.
_BEFORE = timedelta(hours=1)


class GeneratedAuthority(NamedTuple):
    """PEM: the chain (signer, then CA) and the signer's key. The CA's own key is thrown away."""

    chain: bytes
    key: bytes


def generate(now: datetime) -> GeneratedAuthority:
    """A CA and a time-stamping certificate of it, both on P-256, valid for ten years."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Proof development CA")
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, now, _CA_EXTENSIONS)
    signer = _certificate(
        _name("Proof development time-stamping authority"), ca_name, key, ca_key, now, _EXTENSIONS
    )
    pem = serialization.Encoding.PEM
    return GeneratedAuthority(
        signer.public_bytes(pem) + ca.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


_CA_EXTENSIONS: tuple[x509.ExtensionType, ...] = (
    x509.BasicConstraints(ca=True, path_length=0),
    _usage(signs_certificates=True),
)
_EXTENSIONS: tuple[x509.ExtensionType, ...] = (
    x509.BasicConstraints(ca=False, path_length=None),
    _usage(signs_certificates=False),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]),
)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    extensions: tuple[x509.ExtensionType, ...],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())
