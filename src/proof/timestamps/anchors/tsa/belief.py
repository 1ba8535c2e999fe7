"""What must be right about an answer before its token is kept.

The signature is checked twice, by the verifier that everybody may run and by `cryptography`: a fault in
either stops a token here. Not checked: whether a certificate was revoked.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from proof.timestamps.anchors.chain import ChainError, WrongNetworkError
from proof.timestamps.anchors.tsa.wire import Query
from proof.verify.errors import RefusedError
from proof.verify.evidence.rfc3161.evidence import check_imprint, check_signature
from proof.verify.evidence.rfc3161.token import Token, parse_token

MAX_CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class WrongTokenError(ChainError):
    """The token is malformed, or is not what was asked for."""


class UntrustedAuthorityError(WrongNetworkError):
    """The token is signed under a certificate that the configured CA does not vouch for."""


class ClocksDifferError(ChainError):
    """The token's time is far from ours: one of the two clocks is wrong."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens count: those under one of these CA certificates. None: whoever answers, which the
    connection must then vouch for."""

    authorities: Sequence[x509.Certificate] | None


def read_token(raw: bytes, root: bytes) -> Token:
    """A token over `root` whose digests and signature are right. Raises WrongTokenError."""
    try:
        token = parse_token(raw)
        check_imprint(token.info, root)
        checked = check_signature(token)
    except RefusedError as error:
        raise WrongTokenError(f"the time-stamping authority's token is refused: {error}") from None
    if not checked:
        raise WrongTokenError(
            "the time-stamping authority signs with an algorithm that proofs cannot show:"
            f" {token.signature_algorithm}; choose one that signs with RSA PKCS #1 or ECDSA"
        )
    return token


def believe(raw: bytes, query: Query, trust: Trust, now: datetime) -> Token:
    """The token that answers a query.

    Raises WrongTokenError, UntrustedAuthorityError, ClocksDifferError.
    """
    token = read_token(raw, query.root)
    if token.info.nonce != query.nonce:
        raise WrongTokenError("the time-stamping authority's token answers another question: nonce")
    if query.policy not in {None, token.info.policy}:
        raise WrongTokenError(
            f"the time-stamping authority's token is under policy {token.info.policy},"
            f" not {query.policy}; correct the setting policy"
        )
    at = _EPOCH + timedelta(milliseconds=token.info.time_ms)
    if abs(at - now) > MAX_CLOCK_DIFFERENCE:
        raise ClocksDifferError(
            f"the time-stamping authority's time is {at.isoformat(timespec='seconds')} and ours"
            f" {now.isoformat(timespec='seconds')}; see which clock is wrong"
        )
    try:
        _check_again(token, at, trust)
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise WrongTokenError(
            f"the time-stamping authority's token is refused: {str(error) or type(error).__name__}"
        ) from None
    return token


def _check_again(token: Token, at: datetime, trust: Trust) -> None:
    certificate = _loaded(token.certificate.raw)
    key, algorithm = certificate.public_key(), _HASHES[token.digest_name]
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(token.signature, token.signed, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(token.signature, token.signed, ec.ECDSA(algorithm))
    else:
        raise UnsupportedAlgorithm("the certificate's key is neither RSA nor ECDSA")
    if trust.authorities is not None:
        _require_path(certificate, token.others, trust.authorities, at)


def _loaded(raw: bytes) -> x509.Certificate:
    """Raises ValueError, also for what the library reads although RFC 5280 forbids it."""
    with warnings.catch_warnings(action="error", category=CryptographyDeprecationWarning):
        try:
            return x509.load_der_x509_certificate(raw)
        except (CryptographyDeprecationWarning, x509.InvalidVersion) as said:
            raise ValueError(str(said)) from None


def _require_path(
    certificate: x509.Certificate,
    others: Sequence[bytes],
    authorities: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """A path from a configured CA to the signer. Its own extensions were read by `parse_token`."""
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(at)
        .extension_policies(
            ca_policy=ExtensionPolicy.permit_all()
            .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_authority)
            .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing),
            ee_policy=ExtensionPolicy.permit_all(),
        )
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, [_loaded(each) for each in others])
    except VerificationError as error:
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        raise UntrustedAuthorityError(
            "the configured CA does not vouch for the time-stamping authority's certificate"
            f" (SHA-256 {fingerprint}): {str(error).splitlines()[0]}; correct ca_certificate_file or url"
        ) from None


def _require_authority(
    _policy: object, _certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("a certificate on the way is not that of a CA")


def _require_signing(
    _policy: object, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a certificate on the way may not sign certificates")
